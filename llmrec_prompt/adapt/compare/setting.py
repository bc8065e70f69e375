"""What the methods of a comparison are given, and what they give: the shots in, a ranker out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from llmrec_prompt.adapt.compare.suite import Shots, Suite
from llmrec_prompt.adapt.histories import Population
from llmrec_prompt.adapters import Adapter, Card
from llmrec_prompt.backends import Backend, PinnedBackend
from llmrec_prompt.cache import NumberStore, cache_dir, content_key
from llmrec_prompt.data import Dataset
from llmrec_prompt.rank import Ranker, Rankers
from llmrec_prompt.rank.learnt import learnt_in
from llmrec_prompt.scorers import Ingredients
from llmrec_prompt.scorers.embedders import StateEmbedder, Vectors

Announce = Callable[[Any, Any], None]


@dataclass(frozen=True)
class Setting:
    """What every method is given at one number of shots."""

    suite: Suite
    shots: Shots
    population: Population
    backend: Backend
    """The base, loaded once for all methods."""
    sources: tuple[Adapter, ...]
    parts: tuple[Adapter, ...]
    """What the row `composed` is made of."""
    folder: Path
    """Of the run: adapters and checkpoints go into it."""
    announce: Announce | None = None

    @cached_property
    def known(self) -> Dataset:
        """The logs of the shots: of the users to learn from and of those who choose."""
        return self.population.dataset.only([*self.population.users, *self.population.validation])

    def rankers(self, adapter: Path | None, task: str) -> Rankers:
        """Rankers of the base, or under an adapter.

        Raises:
            AdapterError: it does not fit the base or the templates.
        """
        card = None if adapter is None else Card.load(adapter)
        prompter, suite = self.population.prompter, self.suite
        if card is not None:
            card.check_base(self.backend.info.hash)
            card.check_template(prompter.domain.name, prompter.fingerprint_for(card.mode))
        backend = Remembered(self.backend, None if adapter is None else str(adapter))
        given = Ingredients(self.known, prompter, lambda: backend, embedder=suite.embedder, seed=suite.seed)
        return Rankers(given, card=card, task=task)


class Remembered(PinnedBackend):
    """A pinned backend that keeps the states of single texts, which are users' histories, on disk.

    A user's state does not depend on the candidates, nor on whose popularity is counted: an adapter is asked
    for it once, in whatever row it comes up.
    """

    def __init__(self, backend: Backend, adapter: str | None) -> None:
        super().__init__(backend, adapter)
        self._store = NumberStore(cache_dir() / "vectors" / "histories.sqlite", dtype="<f4")
        self._id = StateEmbedder(self).id

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Backend.embed`."""
        if len(texts) != 1:
            return super().embed(texts)
        key = content_key(self._id, texts[0])
        known = self._store.get([key])
        if key not in known:
            states = super().embed(texts)
            self._store.put({key: states[0]})
            return states
        return known[key][None]


@dataclass(frozen=True, slots=True)
class Contestant:
    """A fitted method: its ranker for a kind of negatives, and what a row says about it."""

    ranker: Callable[[str], Ranker]
    adapter: Path | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


def under(setting: Setting, folder: Path, facts: Mapping[str, Any] | None = None) -> Contestant:
    """The mode that an adapter was trained for, alone; `auto` would put other parts beside an encoder abroad.

    With logs, popularity has the weight that its card has for the negatives, and none in a domain that the
    adapter did not learn in.
    """
    card = Card.load(folder)
    learnt = setting.known.has_logs and learnt_in(card, setting.population.domain.name)
    popularity = card.popularity if learnt else {}
    said = {"adapter": card.name, "weights_hash": card.weights_hash, "popularity": popularity}
    return Contestant(
        lambda task: setting.rankers(folder, task).ranker(card.mode), folder, {**said, **(facts or {})}
    )
