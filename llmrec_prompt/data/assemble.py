"""Raw rows → clean arrays: runs the cleaning steps in their order. Knows no files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llmrec_prompt.data.clean import (
    Cleaning,
    CleaningReport,
    Step,
    drop_repeats,
    keep_core,
    keep_preferred,
    make_step,
)
from llmrec_prompt.data.notices import returned, undated, unread, warn_of_lost
from llmrec_prompt.data.readers.raw import RawData
from llmrec_prompt.data.rows import Mask, Rows, encode, read_numbers, read_times
from llmrec_prompt.errors import DataError

NO_LIKES = "users left without a liked item"
NO_TIME = "timestamp that is neither seconds nor an ISO date"


@dataclass(frozen=True, slots=True)
class CleanLog:
    """`known`: all a user met; `liked`: what passed preference and k-core. Same user codes, both sorted."""

    users: tuple[str, ...]
    known: Rows
    liked: Rows
    report: CleaningReport
    without_likes: frozenset[str] = frozenset()
    """Users of whom cleaning left no liked item."""


def clean_log(raw: RawData, index: Mapping[str, int], cleaning: Cleaning) -> CleanLog:
    """Run every step on the raw interactions; `index` gives the catalogue row of an item id.

    Raises:
        DataError: there are interactions and none can be used.
    """
    rows, names, steps, notes = read_rows(raw, index)
    known, repeats = drop_repeats(rows.in_order())
    liked, preferred = keep_preferred(known, cleaning.preference)
    liked, core = keep_core(liked, cleaning.k_core)
    keep = np.bincount(liked.users, minlength=len(names)) > 0
    notes[NO_LIKES] = len(np.unique(known.users)) - int(keep.sum())
    warn_of_lost(raw, steps[0])
    remarks = (*raw.remarks, *undated(raw, rows), *unread(raw), *returned(raw, rows, cleaning, preferred))
    notes = {what: count for what, count in notes.items() if count}
    report = CleaningReport((*steps, repeats, preferred, core), notes, remarks)
    users = tuple(name for name, kept in zip(names, keep.tolist(), strict=True) if kept)
    lost = frozenset(names).difference(users)
    return CleanLog(users, recode(known, keep), recode(liked, keep), report, lost)


def recode(rows: Rows, keep: Mask) -> Rows:
    """The rows of the users of a mask, (users,), who are counted anew."""
    kept, codes = rows.take(keep[rows.users]), (np.cumsum(keep) - 1).astype(np.int32)
    return Rows(codes[kept.users], kept.items, kept.ratings, kept.times)


def read_rows(raw: RawData, index: Mapping[str, int]) -> tuple[Rows, list[str], list[Step], dict[str, int]]:
    """Rows in file order without invalid ones and unknown items; user names by code; the two steps; notes.

    Raises:
        DataError: there are rows and none can be used, for instance when the ids of the two files differ.
    """
    user_names, item_names = ([name.strip() for name in column] for column in (raw.users, raw.item_ids))
    codes = {name: code for code, name in enumerate(dict.fromkeys(user_names))}
    users = encode(user_names, codes)
    ratings, bad_rating = read_numbers(raw.ratings)
    times, bad_time = read_times(raw.timestamps)
    no_user = users == codes.get("", -2)
    no_item = np.fromiter((not name for name in item_names), dtype=bool, count=len(item_names))
    faults = {
        "no user_id": no_user,
        "no item_id": no_item,
        f"rating that is no number{_such_as(raw.ratings, bad_rating)}": bad_rating,
        f"{NO_TIME}{_such_as(raw.timestamps, bad_time)}": bad_time,
    }
    valid, invalid = _invalid_step(faults, raw.malformed)
    items = encode(item_names, index)
    known = valid & (items >= 0)
    rows = Rows(users, items, ratings, times).take(known)
    before, after = int(valid.sum()), len(rows)
    unknown = make_step("unknown items", before, after, {"item not in the catalogue": before - after})
    steps, ids = [invalid, unknown], _strangers(item_names, valid & (items < 0), index)
    if not after and invalid.rows_before:
        raise DataError(_all_lost(raw.name, steps, ids))
    notes = {f"rows with an unknown item{ids}": before - after} if ids else {}
    return rows, list(codes), steps, notes


def _such_as(cells: Sequence[object], wrong: Mask) -> str:
    """The first of the wrong cells, as it stands."""
    first = np.flatnonzero(wrong)[:1].tolist()
    return f" (such as {str(cells[first[0]])[:40]!r})" if first else ""


def _strangers(names: list[str], unknown: Mask, index: Mapping[str, int]) -> str:
    """An id that the catalogue lacks beside one that it has: often only the spelling differs."""
    first = np.flatnonzero(unknown)[:1].tolist()
    return f" (such as {names[first[0]]!r}; the catalogue has {next(iter(index), '')!r})" if first else ""


def _all_lost(name: str, steps: list[Step], ids: str) -> str:
    why = ", ".join(f"{count} x {reason}" for step in steps for reason, count in step.why.items())
    remedy = "correct the file, or remove it to use items alone"
    return f"No interaction of {name} can be used: {why}{ids}; {remedy}."


def _invalid_step(faults: Mapping[str, Mask], malformed: int) -> tuple[Mask, Step]:
    """Which rows have no fault; a row with several counts once, under the first."""
    valid = ~next(iter(faults.values()))
    valid[:] = True
    why = {"too many fields": malformed}
    for reason, wrong in faults.items():
        why[reason] = int((valid & wrong).sum())
        valid &= ~wrong
    return valid, make_step("invalid rows", len(valid) + malformed, int(valid.sum()), why)
