"""Questions and their answers, held as numbers and made into objects when asked for.

An exam of 100,000 users is some arrays of catalogue rows; a `Question` lives while it is answered.
"""

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np

from llmrec_prompt.cache import whole_file
from llmrec_prompt.data import Dataset
from llmrec_prompt.data.rows import Ints
from llmrec_prompt.types import Item


@dataclass(frozen=True, slots=True)
class Question:
    """All a ranker is given: it has no field that could hold the target."""

    user: str
    history: tuple[Item, ...]
    candidates: tuple[Item, ...]


class RowLists(Protocol):
    """For every question a list of catalogue rows, int32."""

    def __getitem__(self, place: int, /) -> Ints: ...


class Ragged:
    """Lists of catalogue rows of different lengths in one flat array.

    >>> Ragged([[4, 2], [], [7]])[2].tolist()
    [7]
    """

    def __init__(self, lists: Iterable[Iterable[int]]) -> None:
        flat, starts = array("i"), array("q", [0])
        for one in lists:
            flat.extend(one)
            starts.append(len(flat))
        self._flat = np.frombuffer(flat, dtype=np.int32) if flat else np.empty(0, dtype=np.int32)
        self._starts = starts

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, place: int, /) -> Ints:
        return self._flat[self._starts[place] : self._starts[place + 1]]


class Unseen:
    """The whole catalogue, in its order, less what each user has; nothing is held but the latter."""

    def __init__(self, size: int, seen: Ragged) -> None:
        self._size, self._seen = size, seen

    def seen(self, place: int) -> Ints:
        """What a user has."""
        return self._seen[place]

    def __getitem__(self, place: int, /) -> Ints:
        keep = np.ones(self._size, dtype=bool)
        keep[self._seen[place]] = False
        return np.flatnonzero(keep).astype(np.int32)


class Questions(Sequence[Question]):
    """Questions in the exam's order; each is built anew when it is asked for, and only then."""

    def __init__(
        self, items: Sequence[Item], users: Sequence[str], histories: RowLists, candidates: RowLists
    ) -> None:
        self._items, self.users = items, tuple(users)
        self._histories, self._candidates = histories, candidates

    def __len__(self) -> int:
        return len(self.users)

    @overload
    def __getitem__(self, place: int) -> Question: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Question, ...]: ...

    def __getitem__(self, place: int | slice) -> Question | tuple[Question, ...]:
        at = range(len(self))[place]
        return self._at(at) if isinstance(at, int) else tuple(self._at(one) for one in at)

    def __iter__(self) -> Iterator[Question]:
        return (self._at(place) for place in range(len(self)))

    def candidate_items(self) -> list[Item]:
        """Every item that is a candidate anywhere, once, in catalogue order."""
        asked = np.zeros(len(self._items), dtype=bool)
        for place in range(len(self)):
            asked[self._candidates[place]] = True
        return [self._items[row] for row in np.flatnonzero(asked).tolist()]

    def left_out(self) -> Iterator[tuple[str, list[str]]] | None:
        """Users, and ids of the catalogue that they are not asked about; None where candidates were drawn."""
        whole = self._candidates
        if not isinstance(whole, Unseen):
            return None
        ids = ([self._items[row].item_id for row in whole.seen(n).tolist()] for n in range(len(self)))
        return zip(self.users, ids, strict=True)

    def _at(self, place: int) -> Question:
        history, candidates = (rows[place].tolist() for rows in (self._histories, self._candidates))
        own = self._items
        return Question(
            self.users[place], tuple(own[row] for row in history), tuple(own[row] for row in candidates)
        )


class Answers(Mapping[str, frozenset[str]]):
    """User → ids of the items that are right, one or several."""

    def __init__(self, items: Sequence[Item], users: Sequence[str], targets: RowLists) -> None:
        self._items, self._targets = items, targets
        self._places = {user: place for place, user in enumerate(users)}

    def __getitem__(self, user: str) -> frozenset[str]:
        return frozenset(self._items[row].item_id for row in self._targets[self._places[user]].tolist())

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


@dataclass(frozen=True, slots=True)
class Exam:
    """Questions, their answers, and the logs a scorer may be fitted on (no target is among them)."""

    train: Dataset
    questions: Questions
    targets: Mapping[str, frozenset[str]]
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What was asked and what was counted on the way: of those who could be asked, what was left out."""

    @property
    def fingerprint(self) -> str:
        """16 hex digits over users, histories, candidates (in order) and targets."""
        digest = hashlib.sha256()
        for q in self.questions:
            targets: list[str] | str = sorted(self.targets[q.user])
            # One target is written as it was when there could be no other.
            targets = targets[0] if len(targets) == 1 else targets
            ids = [[i.item_id for i in q.history], [i.item_id for i in q.candidates], targets]
            digest.update(json.dumps([q.user, ids]).encode())
        return digest.hexdigest()[:16]


def write_candidates(questions: Iterable[Question], path: Path) -> str:
    """Write `user<TAB>id id id` lines, so that another system, or another day, can rank the very same.

    Read it with `negatives=PATH`. Where a user or an id would not be read again (blanks in it, a brace before
    it) the line is JSON, {"user", "candidates"}. Returns the first 16 hex digits of the file's SHA-256.
    """
    return write_ids(((q.user, [item.item_id for item in q.candidates]) for q in questions), path)


def write_ids(lists: Iterable[tuple[str, Sequence[str]]], path: Path) -> str:
    """Write users and ids in the form of `write_candidates`; gives the digest of the file.

    The file is there wholly or not at all, and no more than one list is held.
    """
    digest = hashlib.sha256()
    with whole_file(path) as partial, partial.open("wb") as file:
        for user, ids in lists:
            line = _line(user, ids).encode() + b"\n"
            digest.update(line)
            file.write(line)
    return digest.hexdigest()[:16]


def _line(user: str, ids: Sequence[str]) -> str:
    r"""A user and ids: plain, or JSON where blanks or braces would be misread.

    >>> _line("u1", ["a", "b"]), _line("u1", ["a b"])
    ('u1\ta b', '{"user": "u1", "candidates": ["a b"]}')
    """
    plain = user.split(" ") == user.split() and not user.startswith("{")
    if plain and all(item_id.split() == [item_id] for item_id in ids):
        return f"{user}\t{' '.join(ids)}"
    return json.dumps({"user": user, "candidates": list(ids)}, ensure_ascii=False)


def file_digest(path: Path) -> str:
    """What `write_candidates` returned for a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
