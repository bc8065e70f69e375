"""RecBole's sequence form: a row is what came before (`item_id_list:token_seq`) and what came next.

A user has many rows, each a window of the same sequence, in any order and over several files. They are laid
over one another, so that every interaction comes out once and in its place.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Times = dict[tuple[str, str], Any]


@dataclass(frozen=True, slots=True)
class Window:
    """One row: a user's items, oldest first, the last of which has `rating`; times where they are given."""

    user: str
    items: tuple[str, ...]
    rating: Any = None
    times: tuple[Any, ...] = ()
    """Of the last items; it may be that of the very last alone."""


def unroll(windows: Iterable[Window]) -> list[list[Any]]:
    """The columns users, items, ratings and times of the interactions behind the windows."""
    rows: dict[str, list[tuple[str, ...]]] = {}
    ratings: Times = {}
    times: Times = {}
    for window in windows:
        rows.setdefault(window.user, []).append(window.items)
        ratings.setdefault((window.user, window.items[-1]), window.rating)
        dated = zip(reversed(window.items), reversed(window.times), strict=False)
        for item, time in dated:
            times.setdefault((window.user, item), time)
    pairs = [(user, item) for user, own in rows.items() for item in merge(own)]
    return [
        [user for user, _ in pairs],
        [item for _, item in pairs],
        [ratings.get(pair) for pair in pairs],
        [times.get(pair) for pair in pairs],
    ]


def merge(rows: Iterable[Sequence[str]]) -> list[str]:
    """One sequence of which all rows are parts; rows that lie on none of it come after it.

    >>> merge([["b", "c"], ["a", "b"], ["b", "c", "d"], ["a", "b", "c"]])
    ['a', 'b', 'c', 'd']
    """
    whole: list[str] = []
    for row in rows:
        part = list(row)
        if _holds(whole, part):
            continue
        if _holds(part, whole):
            whole = part
            continue
        behind, before = _overlap(whole, part), _overlap(part, whole)
        whole = whole + part[behind:] if behind >= before else part + whole[before:]
    return whole


def _holds(whole: list[str], part: list[str]) -> bool:
    """Whether the part stands somewhere in the whole, without a gap."""
    if not part:
        return True
    ends = range(len(whole) - len(part) + 1)
    return any(whole[at] == part[0] and whole[at : at + len(part)] == part for at in ends)


def _overlap(first: list[str], then: list[str]) -> int:
    """How many items at the end of one are the beginning of the other, at most."""
    longest = min(len(first), len(then))
    return next((n for n in range(longest, 0, -1) if first[-n] == then[0] and first[-n:] == then[:n]), 0)
