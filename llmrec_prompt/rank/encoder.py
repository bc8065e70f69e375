"""Ranking by states: how near an item is to a user in the language model's own last layer.

In the domains that the adapter was trained in,
score(item) = scale * cos(state after the history, state after the item)
            + near * nearness of the item to the history's items, each by its own state
            + weight * log(1 + popularity),
and the probability of an item is the softmax of that. The first two terms learn p(item | user) / p(item)
when the negatives of their training are drawn by popularity, as in-batch negatives are; the third puts
p(item) back (Yi et al. 2019, "Sampling-bias-corrected neural modeling"; Menon et al. 2021, "logit
adjustment"). `near` and its term come with adapters that were trained with it; nearness looks farther back
than the prompt (`reach`), since states of items are there already.

In any other domain, also one of which it saw unlabelled histories alone, and without an adapter, the state
after a history says little about what comes next, and all states of the catalogue point much the same way.
There the score is the nearness of centred states alone (see `ItemStates`), with the fixed temperatures below.
So it is where few users taught the adapter and its validation users fared better that way (`centred` in its
card).

A user costs at most one forward over the history whatever the number of candidates: items are encoded once
and the whole catalogue is one matrix product. Past a million items an approximate index would be next.
"""

from collections import Counter
from typing import Any

import numpy as np

from llmrec_prompt.adapters import Card
from llmrec_prompt.backends import Backend
from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import DataError
from llmrec_prompt.rank.base import Array, Mask
from llmrec_prompt.rank.learnt import foreign_domain, learnt_in
from llmrec_prompt.rank.model import ModelRanker, within_context
from llmrec_prompt.rank.nearness import nearness
from llmrec_prompt.rank.states import ItemStates
from llmrec_prompt.scorers.embedders import StateEmbedder, Vectors
from llmrec_prompt.templates import HistoryPrompt, Prompter
from llmrec_prompt.types import Candidates, History, Scored

ELSEWHERE_SCALE = 5.0
ELSEWHERE_NEAR = 1.0
"""Temperatures of a score and of its nearness where none were trained; eval/transfer.py compares values."""
NEARNESS = "nearness"
TASKS = ("catalogue", "popular", "uniform")
"""What candidates are drawn from: everything, or negatives of an evaluation by popularity or evenly."""


class EncoderRanker(ModelRanker):
    """The model's states under one adapter, or untrained ones.

    Args:
        backend: must be able to embed; its adapter may not change while this is in use.
        prompter: renders histories and items.
        dataset: the catalogue whose states are kept, and the logs behind popularity.
        card: of the adapter in force; None for the bare model or an adapter that nothing is known of.
        task: what the popularity weight was chosen for: `catalogue`, `uniform`, `popular`.
        popularity: a weight that wins over the card's.

    Raises:
        Unsupported: the backend cannot embed.
    """

    name = "encoder"

    def __init__(
        self,
        backend: Backend,
        prompter: Prompter,
        dataset: Dataset,
        *,
        card: Card | None = None,
        task: str = "catalogue",
        popularity: float | None = None,
    ) -> None:
        super().__init__(backend, prompter, card)
        self._weight = weight_of(card, task, popularity, prompter.domain.name) if dataset.has_logs else 0.0
        self._popularity, self._met = np.log1p(dataset.popularity()), dataset.met()
        self._shown = card.history if card else None
        self._reach = (card.reach if card else None) or 0
        trained = card is not None and card.mode == self.name
        learnt = trained and learnt_in(card, prompter.domain.name)
        self._at_home = learnt and not (card is not None and card.centred)
        self._items = ItemStates(StateEmbedder(backend), prompter, dataset, centred=not self._at_home)
        scale, self._near, self._focus = _temperatures(card if self._at_home else None)
        self._weights = {self.name: scale, NEARNESS: self._near}
        self.settings: dict[str, Any] = {"scale": scale, "popularity": self._weight, "task": task}
        if self._near:
            self.settings["near"] = self._near
        if self._at_home and self._near and self._reach:
            self.settings["reach"] = self._reach
        if self._focus != self._near:
            self.settings["focus"] = self._focus
        if not self._at_home:
            self.settings["centred"] = True
        if not trained:
            self.settings["untrained"] = True
        self._last: tuple[str, Vectors] | None = None

    def score(self, history: History, candidates: Candidates) -> Scored:
        """Cosines, and log popularity where it counts.

        Raises:
            DataError: an empty history has nothing to say about the candidates.
            ContextOverflow: not even the latest history item fits.
        """
        events = Counter(foreign_domain(self._card, self._prompter))
        rows = self._items.rows(candidates)
        states = self._items.of(candidates, rows)
        parts, shown = self._likeness(history, states, events)
        first = self._items.first_equals(states, rows)
        parts = {name: part[first] for name, part in parts.items()}
        events["text_cut"] += self._items.cut(candidates, rows)
        weights = {name: self._weights[name] for name in parts}
        if self._weight:
            parts["popularity"] = np.where(rows >= 0, self._popularity[rows], 0.0)
            weights["popularity"] = self._weight
        settings = {"history_shown": shown, "history_total": len(history), **self.settings}
        return Scored(parts, weights, events=dict(+events), settings=settings)

    def informed(self, candidates: Candidates) -> Mask | None:
        """Of which candidates popularity says anything, (candidates,); None where it does not count."""
        if not self._weight:
            return None
        rows = self._items.rows(candidates)
        return np.asarray((rows >= 0) & self._met[rows])

    def catalogue(self, history: History) -> Array:
        """Scores of the whole catalogue, shape (items,), in its order."""
        parts, _ = self._likeness(history, self._items.catalogue(), Counter())
        return np.asarray(
            sum(self._weights[name] * part for name, part in parts.items()) + self._weight * self._popularity
        )

    def prompt(self, history: History) -> HistoryPrompt:
        """What the model reads of a history: its prompt, or where none was trained its items' texts alone."""
        if self._at_home:
            return self._prompter.history(history, show=self._shown)
        events: Counter[str] = Counter()
        shown = self._latest(history)
        text = "".join(self._prompter.item(item, events) for item in shown)
        return HistoryPrompt(text, len(shown), len(history) - len(shown), dict(events))

    def _latest(self, history: History) -> History:
        return history[-(self._shown or self._prompter.domain.history) :]

    def _likeness(
        self, history: History, states: Vectors, events: Counter[str]
    ) -> tuple[dict[str, Any], int]:
        """What states say of a history, part by part, and how many of its items they know."""
        if not history:
            raise DataError("The history is empty, so a user has no state. Give at least one item.")
        if not self._at_home:
            shown = self._latest(history)
            near = self._nearness(shown, states)  # reads the texts whose cuts are counted next
            events["text_cut"] += self._items.cut(shown, self._items.rows(shown))
            return {self.name: near}, len(shown)
        prompt, user = self._user(history, events)
        parts: dict[str, Any] = {self.name: (states @ user).astype(np.float64)}
        if self._near:
            parts[NEARNESS] = self._nearness(history[-max(prompt.shown, self._reach) :], states)
        return parts, prompt.shown

    def _nearness(self, shown: History, states: Vectors) -> Array:
        """Of states to history items."""
        own = self._items.of(shown, self._items.rows(shown))
        return nearness((own @ states.T).astype(np.float64), self._focus)

    def _user(self, history: History, events: Counter[str]) -> tuple[HistoryPrompt, Vectors]:
        """The state after as much of the history as fits; what had to go is counted."""

        def ask(show: int) -> tuple[HistoryPrompt, Vectors]:
            prompt = self._prompter.history(history, show=show)
            return prompt, self._state(prompt.text)

        found, _ = within_context(ask, len(self._latest(history)), events)
        events.update(found[0].events)
        return found

    def _state(self, text: str) -> Vectors:
        """The unit state at the end of a text; the latest is remembered, for retrieval before ranking."""
        last = self._last  # read once: another thread may put its own there
        if last is None or last[0] != text:
            last = self._last = (text, self._items.embedder.encode([text])[0])
        return last[1]

    def prepare(self, candidates: Candidates) -> None:
        """Encode ahead the candidates that nobody has encoded."""
        self._items.of(candidates, self._items.rows(candidates))


class EncoderScorer:
    """The encoder as a scorer of the whole catalogue, for retrieval."""

    def __init__(self, ranker: EncoderRanker) -> None:
        self._ranker, self.name = ranker, ranker.name

    def score(self, history: History) -> Array:
        """Scores of shape (catalogue items,); see `EncoderRanker`."""
        return self._ranker.catalogue(history)

    @property
    def settings(self) -> dict[str, object]:
        """Scale, popularity weight and task."""
        return dict(self._ranker.settings)


def weight_of(card: Card | None, task: str, given: float | None, domain: str) -> float:
    """The popularity weight: the given one, else the card's for the task, else none.

    What popularity is worth differs between domains, so the card's counts in those it was chosen in.
    """
    if given is not None:
        return given
    return card.popularity.get(task, 0.0) if card and learnt_in(card, domain) else 0.0


def _temperatures(card: Card | None) -> tuple[float, float, float]:
    """Scale, near and focus: the trained ones, or those for where nothing was trained."""
    if card is None:
        return ELSEWHERE_SCALE, ELSEWHERE_NEAR, ELSEWHERE_NEAR
    near = card.near or 0.0
    return card.scale or ELSEWHERE_SCALE, near, card.focus or near
