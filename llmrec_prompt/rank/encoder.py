"""Ranking by states: how near an item is to a user in the language model's own last layer.

score(item) = scale * cos(state after the history, state after the item)
            + near * nearness of the item to the history's items, each by its own state
            + weight * log(1 + popularity),
and the probability of an item is the softmax of that. The first two terms learn p(item | user) / p(item)
when the negatives of their training are drawn by popularity, as in-batch negatives are; the third puts
p(item) back (Yi et al. 2019, "Sampling-bias-corrected neural modeling"; Menon et al. 2021, "logit
adjustment"). `near` and its term come with adapters that were trained with it.

A user costs one forward over the history whatever the number of candidates: items are encoded once and the
whole catalogue is one matrix product. Past a million items an approximate index would be the next step.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from llmrec_prompt.adapters import Card
from llmrec_prompt.backends import Backend, Usage
from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import ContextOverflow, DataError
from llmrec_prompt.rank.base import Array
from llmrec_prompt.rank.nearness import nearness
from llmrec_prompt.rank.origin import foreign_domain, model_origin
from llmrec_prompt.scorers.embedders import StateEmbedder, VectorIndex, Vectors
from llmrec_prompt.templates import HistoryPrompt, Prompter
from llmrec_prompt.types import Candidates, History, Item, Scored

UNTRAINED_SCALE = 20.0
"""Without a trained temperature: cosines of states lie close together."""
TASKS = ("catalogue", "popular", "uniform")
"""What candidates are drawn from: everything, or negatives of an evaluation by popularity or evenly."""
LABEL = "Encoding the catalogue"


class EncoderRanker:
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
        self._backend, self._prompter, self._card = backend, prompter, card
        self._items = ItemStates(StateEmbedder(backend), prompter, dataset)
        self._weight = weight_of(card, task, popularity, prompter.domain.name) if dataset.has_logs else 0.0
        self._popularity = np.log1p(dataset.popularity())
        self._scale = UNTRAINED_SCALE if card is None or card.scale is None else card.scale
        self._near = (card.near if card else None) or 0.0
        self.settings: dict[str, Any] = {"scale": self._scale, "popularity": self._weight, "task": task}
        if self._near:
            self.settings["near"] = self._near
        if card is None or card.mode != self.name:
            self.settings["untrained"] = True
        self._last: tuple[str, Vectors] | None = None

    def score(self, history: History, candidates: Candidates) -> Scored:
        """Cosines, and log popularity where it counts.

        Raises:
            DataError: an empty history has nothing to say about the candidates.
            ContextOverflow: not even the latest history item fits.
        """
        events = Counter(foreign_domain(self._card, self._prompter))
        prompt, user = self._user(history, events)
        rows = self._items.rows(candidates)
        states = self._items.of(candidates, rows)
        parts: dict[str, Any] = {self.name: (states @ user).astype(np.float64)}
        weights = {self.name: self._scale}
        if self._near:
            parts["nearness"] = self._nearness(history[-prompt.shown :], states)
            weights["nearness"] = self._near
        if self._weight:
            parts["popularity"] = np.where(rows >= 0, self._popularity[rows], 0.0)
            weights["popularity"] = self._weight
        settings = {"history_shown": prompt.shown, "history_total": len(history), **self.settings}
        return Scored(parts, weights, events=dict(events), settings=settings)

    def catalogue(self, history: History) -> Array:
        """Scores of the whole catalogue, shape (items,), in its order."""
        prompt, user = self._user(history, Counter())
        states = self._items.catalogue()
        scores = self._scale * (states @ user).astype(np.float64) + self._weight * self._popularity
        if self._near:
            scores += self._near * self._nearness(history[-prompt.shown :], states)
        return np.asarray(scores)

    def _nearness(self, shown: History, states: Vectors) -> Array:
        """Of states to the history items that the prompt shows."""
        own = self._items.of(shown, self._items.rows(shown))
        return nearness((own @ states.T).astype(np.float64), self._near)

    def _user(self, history: History, events: Counter[str]) -> tuple[HistoryPrompt, Vectors]:
        """The state after as much of the history as fits; what had to go is counted."""
        if not history:
            raise DataError("The history is empty, so a user has no state. Give at least one item.")
        prompt = self._prompter.history(history, show=self._card.history if self._card else None)
        while True:
            try:
                user = self._state(prompt.text)
            except ContextOverflow:
                if prompt.shown <= 1:
                    raise
                prompt = self._prompter.history(history, show=prompt.shown - 1)
                events["history_dropped"] += 1
            else:
                events.update(prompt.events)
                return prompt, user

    def _state(self, text: str) -> Vectors:
        """The unit state at the end of a text; the latest is remembered, for retrieval before ranking."""
        if self._last is None or self._last[0] != text:
            self._last = (text, self._items.embedder.encode([text])[0])
        return self._last[1]

    def prepare(self, candidates: Candidates) -> None:
        """Encode ahead the candidates that nobody has encoded."""
        self._items.of(candidates, self._items.rows(candidates))

    @property
    def usage(self) -> Usage:
        """The backend's token counts."""
        return self._backend.usage

    @property
    def origin(self) -> Mapping[str, Any]:
        """The model, its adapter, the template."""
        return model_origin(self._backend, self._prompter, self._card)


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


class ItemStates:
    """Unit states of a catalogue's items: from disk or computed, then kept in memory; others as they come."""

    def __init__(self, embedder: StateEmbedder, prompter: Prompter, dataset: Dataset) -> None:
        self.embedder, self._prompter, self._dataset = embedder, prompter, dataset
        self._index = VectorIndex(embedder)
        self._states: Vectors = np.zeros((0, 0), np.float32)
        self._here = np.zeros(len(dataset.items), bool)

    def rows(self, items: Candidates) -> npt.NDArray[np.int64]:
        """Catalogue rows, -1 for what is not in it."""
        return np.array([self._dataset.index.get(item.item_id, -1) for item in items], np.int64)

    def catalogue(self) -> Vectors:
        """States of the whole catalogue, shape (items, dimensions); not to be written into."""
        self._fetch(np.arange(len(self._here)))
        return self._states

    def of(self, items: Candidates, rows: npt.NDArray[np.int64]) -> Vectors:
        """States of any items, given with their rows, shape (len(items), dimensions)."""
        self._fetch(rows[rows >= 0])
        others = np.flatnonzero(rows < 0)
        if not len(others):
            return np.asarray(self._states[rows])
        fresh = self._encode([items[i] for i in others.tolist()])
        states = (
            self._states[rows] if self._states.size else np.empty((len(rows), fresh.shape[1]), np.float32)
        )
        states[others] = fresh
        return np.asarray(states)

    def _fetch(self, rows: npt.NDArray[np.int64]) -> None:
        """Bring catalogue rows into memory that are not there; most of them means all.

        A recommendation asks for all but what the user has; for the next user that shall be there too.
        """
        missing = rows[~self._here[rows]]
        if 2 * len(missing) > len(self._here):
            missing = np.flatnonzero(~self._here)
        if len(missing):
            states = self._encode([self._dataset.items[row] for row in missing])
            if not self._states.size:
                self._states = np.zeros((len(self._here), states.shape[1]), np.float32)
            self._states[missing], self._here[missing] = states, True

    def _encode(self, items: list[Item]) -> Vectors:
        return self._index.vectors([self._prompter.item(item) for item in items], label=LABEL)


def weight_of(card: Card | None, task: str, given: float | None, domain: str) -> float:
    """The popularity weight: the given one, else the card's for the task, else none.

    What popularity is worth differs between domains, so the card's counts in those it was chosen in.
    """
    if given is not None:
        return given
    return card.popularity.get(task, 0.0) if card and domain in card.templates else 0.0
