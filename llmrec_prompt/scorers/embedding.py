"""Similarity of item texts: how near an item is to what the user has."""

from collections.abc import Callable

import numpy as np

from llmrec_prompt.data import Dataset
from llmrec_prompt.scorers.base import Scores, recent
from llmrec_prompt.scorers.embedders import Embedder, VectorIndex, Vectors
from llmrec_prompt.templates import Prompter
from llmrec_prompt.types import History, Item


class EmbeddingScorer:
    """Cosine of an item's text to the latest history items' texts.

    The mean of two: the nearest history item's, and the average (`pooling` in reports: both). `text` says
    what is read of an item: the prompter's `about` if None.
    """

    name = "embedding"

    def __init__(
        self,
        dataset: Dataset,
        prompter: Prompter,
        embedder: Embedder,
        *,
        recent_items: int = 20,
        text: Callable[[Item], str] | None = None,
    ) -> None:
        self._recent, self._rows = recent_items, dataset.index
        self._index = VectorIndex(embedder)
        self._text = text or prompter.about
        self._vectors = self._index.vectors([self._text(item) for item in dataset.items])

    def score(self, history: History) -> Scores:
        """Cosines in [-1, 1]; zeros for an empty history."""
        if not history:
            return np.zeros(len(self._rows))
        queries = np.stack([self._vector(item) for item in recent(history, self._recent)])
        cosines = (self._vectors @ queries.T).astype(np.float64)
        pooled: Scores = (cosines.max(axis=1) + cosines.mean(axis=1)) / 2
        return pooled

    def _vector(self, item: Item) -> Vectors:
        row = self._rows.get(item.item_id)
        if row is not None:
            return np.asarray(self._vectors[row])
        return np.asarray(self._index.vectors([self._text(item)], label="Reading the history")[0])

    @property
    def settings(self) -> dict[str, object]:
        """Which embedder, over how much of the history, pooled how."""
        embedder = self._index.embedder.id
        return {"embedder": embedder, "recent_items": self._recent, "pooling": "both"}
