"""Histories as the sequence networks read them: rows of a vocabulary, cut into windows. No torch here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llmrec_prompt.data import Dataset
from llmrec_prompt.data.splits import seeded_order

Rows = npt.NDArray[np.int64]
ENOUGH = 500
NO_TARGET = -100
"""Marks padding among targets; the value that torch's cross entropy passes over."""


@dataclass(frozen=True, slots=True)
class Sequences:
    """`vocabulary`: catalogue rows of the items that somebody has, (v,); the rest counts within it.

    `counts`: how many of the users trained on have each item, (v,). `trained` and `validation`: one array
    per user, oldest first. Validation users have two items at least and are not trained on.
    """

    vocabulary: Rows
    counts: Rows
    trained: tuple[Rows, ...]
    validation: tuple[Rows, ...]


def read_sequences(dataset: Dataset, *, share: float, seed: int) -> Sequences:
    """Split a data set's users in a seeded order by their ids: a share for validation, the rest for training.

    A tenth of 64 users says little about when to stop, so a quarter is taken until there are ten; more than
    ENOUGH say nothing new.
    """
    users, items = dataset.pairs()
    vocabulary, codes = np.unique(items, return_inverse=True)
    parts = np.split(codes.astype(np.int64), np.searchsorted(users, np.arange(1, len(dataset.users))))
    histories = dict(zip(dataset.users, parts, strict=False))  # one empty part where there are no users
    eligible = [user for user, history in histories.items() if len(history) > 1]
    count = min(max(math.ceil(share * len(eligible)), min(10, len(eligible) // 4)), ENOUGH)
    held_out = set(seeded_order(eligible, seed)[:count]) if len(eligible) > 3 else set()
    trained = tuple(h for user, h in histories.items() if user not in held_out and len(h))
    counts = np.bincount(np.concatenate(trained) if trained else codes, minlength=len(vocabulary))
    return Sequences(
        vocabulary.astype(np.int64), counts, trained, tuple(histories[user] for user in sorted(held_out))
    )


def cut(history: Rows, length: int, rng: np.random.Generator) -> list[Rows]:
    """Windows of at most length + 1 items that together hold every item once, at a random offset."""
    size = length + 1
    if len(history) <= size:
        return [history]
    first = int(rng.integers(1, size + 1))
    return [history[max(0, at) : at + size] for at in range(first - size, len(history), size)]


def pad(windows: Sequence[Rows], begin: int) -> tuple[Rows, Rows]:
    """What a network reads and what it must answer, both (windows, longest window), padded on the right.

    Position t reads `begin` and the items before t, and must answer item t; padding must answer NO_TARGET.
    """
    longest = max(len(window) for window in windows)
    inputs = np.full((len(windows), longest), begin, np.int64)
    targets = np.full((len(windows), longest), NO_TARGET, np.int64)
    for row, window in enumerate(windows):
        inputs[row, 1 : len(window)] = window[:-1]
        targets[row, : len(window)] = window
    return inputs, targets
