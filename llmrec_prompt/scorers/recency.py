"""Popularity that fades: what was liked lately counts for more."""

import numpy as np

from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import ConfigError, DataError
from llmrec_prompt.scorers.base import Scores
from llmrec_prompt.types import History

DAY = 86400.0
"""Seconds."""


class RecencyScorer:
    """log(1 + sum over an item's likes of 0.5 ** (age / half_life)), whoever asks.

    The age of a like is in days before the latest one in the logs, so this is popularity as it stands at the
    end of them: made for tests by time. It follows the exponential forgetting of Ding and Li (2005). The
    default of 30 days is a convention, not tuned. Likes without a date have no age: they are left out and
    counted in the settings (`undated`).

    Raises:
        ConfigError: `half_life` is not above 0.
        DataError: there are logs, and none of them is dated.
    """

    name = "recency"

    def __init__(self, dataset: Dataset, *, half_life: float = 30.0) -> None:
        if not half_life > 0:
            raise ConfigError(f"A half-life of {half_life:g} days cannot be meant: give something above 0.")
        self._half_life = half_life
        likes = [(like.item_id, like.timestamp) for like in dataset.interactions]
        dated = [(item_id, time) for item_id, time in likes if time is not None]
        if likes and not dated:
            raise DataError(
                f"None of the {len(likes)} likes of {dataset.name} has a date, so none is recent. "
                "Use popularity, or give timestamps."
            )
        self._undated = len(likes) - len(dated)
        times = np.array([time for _, time in dated], np.float64)
        ages = (times.max(initial=-np.inf) - times) / DAY
        rows = dataset.item_rows(item_id for item_id, _ in dated)
        counts = np.bincount(rows, 0.5 ** (ages / half_life), minlength=len(dataset.items))
        self._scores: Scores = np.log1p(counts)

    def score(self, history: History) -> Scores:
        """The same for every history."""
        return self._scores

    @property
    def settings(self) -> dict[str, object]:
        """The half-life in days, and how many likes have no date."""
        return {"half_life": self._half_life, "undated": self._undated}
