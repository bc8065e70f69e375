"""Item priors: how likely a model finds a title whatever the history, so that it can be taken off.

A language model prefers short, famous and well-formed titles. Subtracting an item's mean
log-likelihood after other histories leaves what this history says about it. Zhao et al. (2021)
calibrate with a content-free input; here that is a list of items drawn from the catalogue, which looks like
this domain's histories but is nobody's taste. `python eval/tune.py` compares it with other users' histories
and with an empty history.
"""

import hashlib
import random
from collections.abc import Iterator, Sequence

import numpy as np

from llmrec_prompt.backends import Backend, ScoreRequest
from llmrec_prompt.cache import NumberStore, content_key
from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import UnknownName
from llmrec_prompt.progress import track
from llmrec_prompt.rank.base import Array
from llmrec_prompt.types import History

CHUNK = 64
SOURCES = ("catalogue", "empty", "users")


def calibration_histories(
    dataset: Dataset, *, source: str, count: int, length: int, seed: int
) -> list[History]:
    """The histories behind the priors.

    Args:
        dataset: whose items, or users.
        source: `catalogue` (lists drawn from it, which needs no logs), `users` (those with enough items, by
            a seeded hash; drawn lists where there are too few), or `empty`.
        count: how many.
        length: items in each.
        seed: of the draw.

    Raises:
        UnknownName: another source.
    """
    if source not in SOURCES:
        raise UnknownName("calibration", source, SOURCES)
    if source == "empty":
        return [()]
    found = _users_histories(dataset, count, length, seed) if source == "users" else []
    return found + _drawn_lists(dataset, count - len(found), length, seed)


def _drawn_lists(dataset: Dataset, count: int, length: int, seed: int) -> list[History]:
    """Lists without an item in common, so that every item is in one of them at most."""
    length = min(length, len(dataset.items) // max(count, 1))
    drawn = random.Random(seed).sample(dataset.items, length * count)
    return [tuple(drawn[begin : begin + length]) for begin in range(0, length * count, max(length, 1))]


def _users_histories(dataset: Dataset, count: int, length: int, seed: int) -> list[History]:
    by_hash = sorted(dataset.users, key=lambda user: hashlib.sha256(f"{seed}\0{user}".encode()).digest())
    long = [user for user in by_hash if len(dataset.history(user)) >= length]
    return [tuple(dataset.history_items(user)[-length:]) for user in long[:count]]


class Priors:
    """Cached mean log-likelihood of continuations over the calibration prompts.

    Keys hold engine, version, weights, adapter, prompt and continuation: nothing else changes a value.
    """

    def __init__(self, backend: Backend, prompts: Sequence[str], empty: str, store: NumberStore) -> None:
        self._backend, self._store, self._empty = backend, store, empty
        self.prompts = tuple(dict.fromkeys(prompts)) or (empty,)

    def means(self, continuations: Sequence[str], *, without: str = "") -> Array:
        """Mean over the calibration prompts, shape (continuations,).

        Left out are `without` (the user's own prompt) and, for each continuation, prompts that show it
        already: a model repeats what it has just read. Where none is left, the empty history serves.
        """
        self.prepare(continuations)
        total, count = np.zeros(len(continuations)), np.zeros(len(continuations))
        for prompt in self.prompts:
            if prompt != without:
                self._add(prompt, continuations, total, count)
        if not count.all():
            alone = [i for i, n in enumerate(count) if not n]
            total[alone] = self._scores(self._empty, [continuations[i] for i in alone])
            count[alone] = 1
        return np.asarray(total / count)

    def _add(self, prompt: str, continuations: Sequence[str], total: Array, count: Array) -> None:
        fresh = [i for i, line in enumerate(continuations) if not shows(prompt, line)]
        total[fresh] += self._scores(prompt, [continuations[i] for i in fresh])
        count[fresh] += 1

    def _scores(self, prompt: str, continuations: Sequence[str]) -> list[float]:
        known = self._known(prompt, continuations)
        missing = list(dict.fromkeys(c for c in continuations if c not in known))
        known.update(self._compute(prompt, missing))
        return [known[c] for c in continuations]

    def _known(self, prompt: str, continuations: Sequence[str]) -> dict[str, float]:
        keys = self._keys(prompt, continuations)
        found = self._store.get(list(keys.values()))
        return {c: float(found[key][0]) for c, key in keys.items() if key in found}

    def _compute(self, prompt: str, missing: Sequence[str]) -> dict[str, float]:
        if not missing:
            return {}
        scores = self._backend.score([ScoreRequest(prompt, missing)])[0]
        values = {c: score.logprob for c, score in zip(missing, scores, strict=True)}
        keys = self._keys(prompt, missing)
        self._store.put({keys[c]: np.array([v]) for c, v in values.items()})
        return values

    def prepare(self, continuations: Sequence[str]) -> None:
        """Compute what is missing for many continuations, prompt by prompt, behind a progress bar."""
        chunks = [(p, part) for p in self.prompts for part in _parts(self._missing(p, continuations))]
        for prompt, part in track(chunks, "Item priors", len(chunks)):
            self._compute(prompt, part)

    def _missing(self, prompt: str, continuations: Sequence[str]) -> list[str]:
        known = self._known(prompt, continuations)
        return [c for c in dict.fromkeys(continuations) if c not in known and not shows(prompt, c)]

    def _keys(self, prompt: str, continuations: Sequence[str]) -> dict[str, str]:
        model, adapter = self._backend.info.identity, self._backend.adapter_hash
        return {c: content_key(model, adapter, prompt, c) for c in continuations}


def shows(prompt: str, line: str) -> bool:
    r"""Whether the prompt has this line already.

    >>> shows("Films:\nAlien\n", "Alien\n"), shows("Films:\nAliens\n", "Alien\n")
    (True, False)
    """
    return f"\n{line}" in prompt


def _parts(items: list[str]) -> Iterator[list[str]]:
    for begin in range(0, len(items), CHUNK):
        yield items[begin : begin + CHUNK]
