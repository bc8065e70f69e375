"""Candidate lists for evaluation: a target among sampled negatives, or lists read from a file."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from llmrec_prompt.data.dataset import Dataset
from llmrec_prompt.data.files import parse_json, read_lines
from llmrec_prompt.data.splits import Case, Split
from llmrec_prompt.errors import ConfigError, DataError

Kind = Literal["uniform", "popular"]


def sample_candidates(
    source: Split | Dataset, case: Case, *, n: int = 20, kind: Kind = "uniform", seed: int
) -> tuple[str, ...]:
    """The target and n - 1 items the user never met, shuffled; the same for the same seed, user and kind.

    "popular" draws without replacement, each item with a chance proportional to its popularity in the
    training data (items nobody liked are never drawn). Pass the split, so that its targets don't count.

    Raises:
        ConfigError: n < 1 or an unknown kind.
        DataError: fewer than n - 1 items can be drawn.
    """
    if n < 1 or kind not in ("uniform", "popular"):
        raise ConfigError(f"n is {n} and kind is {kind!r}; give n >= 1 and 'uniform' or 'popular'.")
    logs, known = _logs(source)
    chances = _chances(logs, kind, seen(known, case))
    there = int(np.count_nonzero(chances))
    if there < n - 1:
        what = "unseen items" if kind == "uniform" else "unseen items that somebody liked"
        raise DataError(
            f"User {case.user_id!r} has {there} {what} in {logs.name}; {n} candidates need {n - 1}: "
            "ask for fewer."
        )
    rng = _generator(seed, case.user_id, kind)
    ids = [case.target, *(logs.items[row].item_id for row in _draw(chances, n - 1, rng))]
    return _shuffled(ids, rng)


def drawable(source: Split | Dataset, case: Case, kind: Kind) -> int:
    """How many items could be drawn as negatives of a case."""
    logs, known = _logs(source)
    return int(np.count_nonzero(_chances(logs, kind, seen(known, case))))


def _logs(source: Split | Dataset) -> tuple[Dataset, Dataset]:
    """By whose logs negatives are drawn, and who knows what a user ever met."""
    if isinstance(source, Dataset):
        return source, source
    return source.drawn_from or source.train, source.known or source.train


def seen(known: Dataset, case: Case) -> frozenset[str]:
    """All that can be no negative: what the user ever met, and what would be right."""
    return known.consumed(case.user_id) | case.relevant | {*case.history}


def mixed(ids: Sequence[str], case: Case, kind: str, *, seed: int) -> tuple[str, ...]:
    """Ids in an order fixed by seed, user and kind, so that no place gives a target away."""
    return _shuffled(ids, _generator(seed, case.user_id, kind))


def _shuffled(ids: Sequence[str], rng: np.random.Generator) -> tuple[str, ...]:
    return tuple(ids[place] for place in np.argsort(rng.random(len(ids)), kind="stable").tolist())


def _draw(chances: NDArray[np.float64], count: int, rng: np.random.Generator) -> list[int]:
    """Rows drawn without replacement: exponential waiting times with rate = chance, the shortest first.

    The same draws as `rng.choice`, whose stream NumPy may change between versions; `rng.random` stays.
    """
    rows = np.flatnonzero(chances)
    waiting = -np.log1p(-rng.random(len(rows))) / chances[rows]
    return [int(row) for row in rows[np.argsort(waiting, kind="stable")[:count]]]


def _chances(logs: Dataset, kind: Kind, no: frozenset[str]) -> NDArray[np.float64]:
    """Unnormalised chance of each catalogue item to be drawn, (n_items,); 0 for those in `no`."""
    chances = logs.popularity().copy() if kind == "popular" else np.ones(len(logs.items))
    chances[logs.item_rows(no & logs.index.keys())] = 0.0
    return chances


def _generator(seed: int, user: str, kind: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}\x1f{user}\x1f{kind}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def unmet(candidates: tuple[str, ...], case: Case, known: Dataset) -> tuple[str, ...]:
    """Given candidates without what the user is known to have met: that can be no negative.

    Args:
        candidates: ids; the case's targets among them stay.
        case: whose.
        known: who has met what (`Split.known`).

    Returns:
        What is left; nothing if no negative is.
    """
    met = seen(known, case) - case.relevant
    left = tuple(item_id for item_id in candidates if item_id not in met)
    return () if case.relevant.issuperset(left) else left


def with_target(candidates: tuple[str, ...], case: Case, *, seed: int = 0) -> tuple[str, ...]:
    """The candidates with the case's target: as they are, or with it put at a seeded random place.

    A fixed place would give the target away to anything that reads the order.
    """
    if case.target in candidates:
        return candidates
    place = int(_generator(seed, case.user_id, "file").integers(len(candidates) + 1))
    return (*candidates[:place], case.target, *candidates[place:])


def read_candidates_file(path: str | Path, dataset: Dataset) -> dict[str, tuple[str, ...]]:
    """Candidates per user: lines `user<TAB>id id id ...`, or JSONL {"user", "candidates"}.

    Empty lines are skipped. Users need not be in the data set.

    Raises:
        DataError: a line in neither form, a user or an id given twice, an unknown id (names the line).
    """
    found: dict[str, tuple[str, ...]] = {}
    for number, line in read_lines(Path(path)):
        where = f"{path}, line {number}"
        user, ids = _parse_json(line, where) if line.lstrip().startswith("{") else _parse_tab(line, where)
        if user in found:
            raise DataError(f"{where}: user {user!r} has a line already; keep one of them.")
        for fault in _faults(ids, dataset):
            raise DataError(f"{where}: {fault}; correct the line.")
        # The catalogue's own strings: a long file would otherwise hold every id anew.
        found[user] = tuple(dataset.item(item_id).item_id for item_id in ids)
    return found


def _faults(ids: tuple[str, ...], dataset: Dataset) -> Iterator[str]:
    listed: set[str] = set()  # a line may hold a whole catalogue
    for item_id in ids:
        if item_id not in dataset.index:
            yield f"unknown item {item_id!r} for data set {dataset.name!r}"
        if item_id in listed:
            yield f"item {item_id!r} is listed twice"
        listed.add(item_id)


def _parse_tab(line: str, where: str) -> tuple[str, tuple[str, ...]]:
    user, tab, ids = line.partition("\t")
    if not tab or not user.strip() or not ids.strip():
        raise DataError(f"{where}: found {line.strip()[:60]!r}; expected user<TAB>id id id.")
    return user.strip(), tuple(ids.split())


def _parse_json(line: str, where: str) -> tuple[str, tuple[str, ...]]:
    try:
        row = parse_json(line)
        user, ids = row["user"], row["candidates"]
    except (ValueError, KeyError, TypeError) as exc:
        raise DataError(f'{where}: expected JSON with "user" and "candidates"; found {line[:60]!r}.') from exc
    if not isinstance(ids, list) or not ids:
        raise DataError(f'{where}: "candidates" is {ids!r}; expected a list of item ids.')
    return str(user), tuple(map(str, ids))
