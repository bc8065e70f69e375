"""The two scorers every other is read against: random and popularity."""

import hashlib

import numpy as np

from llmrec_prompt.data import Dataset
from llmrec_prompt.scorers.base import Scores
from llmrec_prompt.types import History


class RandomScorer:
    """Uniform numbers, fixed by the seed and the history."""

    name = "random"

    def __init__(self, dataset: Dataset, *, seed: int = 0) -> None:
        self._size, self._seed = len(dataset.items), seed

    def score(self, history: History) -> Scores:
        """Uniform in [0, 1)."""
        text = "\0".join([str(self._seed), *(item.item_id for item in history)])
        digest = hashlib.sha256(text.encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "big")).random(self._size)

    @property
    def settings(self) -> dict[str, object]:
        """The seed."""
        return {"seed": self._seed}


class PopularityScorer:
    """log(1 + number of users who have the item), whoever asks."""

    name = "popularity"

    def __init__(self, dataset: Dataset) -> None:
        self._scores: Scores = np.log1p(dataset.popularity())

    def score(self, history: History) -> Scores:
        """The same for every history."""
        return self._scores

    @property
    def settings(self) -> dict[str, object]:
        """None."""
        return {}
