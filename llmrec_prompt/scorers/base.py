"""What a non-language-model scorer answers: one number for every catalogue item."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from llmrec_prompt.types import History, Item

Scores = npt.NDArray[np.float64]


class Scorer(Protocol):
    """Fitted on a data set when built; higher is better; knows nothing of candidates or targets."""

    name: str

    def score(self, history: History) -> Scores:
        """Scores of shape (catalogue items,), in catalogue order."""
        ...

    @property
    def settings(self) -> dict[str, object]:
        """What a report must say about it."""
        ...


@runtime_checkable
class Counting(Protocol):
    """A scorer that can say what of a history it skips."""

    def unknown(self, history: History) -> int:
        """How many items of the history it knows nothing of."""
        ...


def recent(history: History, count: int) -> Sequence[Item]:
    """The latest `count` items of a history, all if it is shorter."""
    return history[-count:]
