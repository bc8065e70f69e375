"""Interactions as parallel arrays: parsing, encoding and sorting. Knows no files and no rules of taste."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
LATEST = 1e11
"""Epoch seconds reach the year 5138 here, epoch milliseconds the year 1973."""
UNITS = (1.0, 1e3, 1e6, 1e9)
"""How many of it a second has: seconds, milliseconds, microseconds, nanoseconds."""


@dataclass(frozen=True, slots=True)
class Rows:
    """n interactions: codes of users and items (int32), ratings and times (float64, NaN = none), all (n,)."""

    users: Ints
    items: Ints
    ratings: Floats
    times: Floats

    def __len__(self) -> int:
        return len(self.users)

    def take(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> "Rows":
        """The rows of a mask or of positions, in that order."""
        return Rows(self.users[which], self.items[which], self.ratings[which], self.times[which])

    def in_order(self) -> "Rows":
        """Sorted by user, then time; ties keep the present order.

        Undated rows come before the user's dated ones: an unknown time must not pass for "just now",
        where it would become the target of leave-last-out.
        """
        times = np.where(np.isnan(self.times), -np.inf, self.times)
        return self.take(np.lexsort((times, self.users)))


def read_numbers(values: Sequence[object]) -> tuple[Floats, Mask]:
    """Numbers of a column, and where a cell holds something that is no finite number.

    Empty cells and NaN are no number but legal: NaN, not marked. Dates in ISO form and datetimes
    count as epoch seconds (UTC unless they say otherwise).

    >>> read_numbers(["1.5", "", "x"])[1].tolist()
    [False, False, True]
    """
    numbers, wrong, _ = _read(values)
    return numbers, wrong


def read_times(values: Sequence[object]) -> tuple[Floats, Mask]:
    """Epoch seconds of a column, and where a cell holds no time; cells are read as `read_numbers` reads them.

    Numbers of a column have one unit, told by their median size: seconds up to `LATEST`, then milliseconds,
    microseconds, nanoseconds. A few odd ones, such as 0, change nothing. Dates are what they say.

    >>> read_times([0, "1600000000000", "2020-09-13T12:26:40"])[0].tolist()
    [0.0, 1600000000.0, 1600000000.0]
    """
    times, wrong, dates = _read(values)
    numbers = ~dates & ~np.isnan(times)
    sizes = np.sort(np.abs(times[numbers & (times != 0)]))
    size = sizes[len(sizes) // 2] if len(sizes) else 0.0
    times[numbers] /= next((unit for unit in UNITS if size / unit <= LATEST), UNITS[-1])
    return times, wrong


def _read(values: Sequence[object]) -> tuple[Floats, Mask, Mask]:
    """Numbers, which cells are wrong, and which are dates."""
    nothing = np.zeros(len(values), dtype=bool)
    if all(value is None or value == "" for value in values):
        return np.full(len(values), np.nan), nothing, nothing
    try:
        found, dates = np.array([_quick(value) for value in values], dtype=np.float64), nothing
    except (ValueError, TypeError, OverflowError):
        found, dates = _read_slowly(values)
    wrong = np.isinf(found)
    return np.where(wrong, np.nan, found), wrong, dates


def _quick(value: object) -> float:
    return float(value) if value is not None and value != "" else np.nan  # type: ignore[arg-type]


def _read_slowly(values: Sequence[object]) -> tuple[Floats, Mask]:
    """Numbers, infinite where a cell holds none, and which cells are dates."""
    found = np.full(len(values), np.inf)
    dates = np.zeros(len(values), dtype=bool)
    for place, value in enumerate(values):
        try:
            found[place] = _quick(value)
        except (ValueError, TypeError, OverflowError):
            found[place] = _date_seconds(value)
            dates[place] = True
    return found, dates


def _date_seconds(value: object) -> float:
    text = str(value).strip()
    if text in ("", "NaT"):  # as pandas and NumPy write a time that is missing
        return np.nan
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return np.inf
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def encode(names: Sequence[str], index: Mapping[str, int]) -> Ints:
    """Codes of names, -1 for those the index lacks."""
    return np.fromiter((index.get(name, -1) for name in names), dtype=np.int32, count=len(names))


def first_of_each_pair(rows: Rows) -> NDArray[np.int64]:
    """Positions of the first row of each (user, item) pair, ascending."""
    pairs = pair_codes(rows, int(rows.items.max(initial=0)) + 1)
    _, first = np.unique(pairs, return_index=True)
    return np.sort(first)


def pair_codes(rows: Rows, n_items: int) -> NDArray[np.int64]:
    """One number per (user, item) pair, (n,)."""
    return rows.users.astype(np.int64) * n_items + rows.items
