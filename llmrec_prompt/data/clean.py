"""Cleaning of interactions: explicit steps, each with a count of what it dropped and why.

Order: invalid rows, unknown items, repeats of a (user, item) pair, then preference and k-core.
What is left before preference is what a user is known to have consumed; what is left after it is
what the user liked. Knows nothing about files.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from llmrec_prompt.data.rows import Mask, Rows, first_of_each_pair
from llmrec_prompt.errors import ConfigError, DataError

Preference = Literal["auto", "none", "user-mean"] | float
KEYS = frozenset({"preference", "k_core"})
"""What meta.json may say of cleaning."""
LIKED_SHARE = 0.7
"""The share of a rating scale's top from which a rating says "liked", where nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class Cleaning:
    """How interactions become preferences.

    `preference`: "none" keeps every row; "user-mean" keeps ratings not below that user's own mean;
    a number keeps ratings not below it; "auto" looks at the ratings: 3 to 21 distinct values within
    0 to 10 are a rating scale (70 % of its top and more is liked, 3.5 of 5), only 0 and 1 are likes
    (1 stays), anything else (quantities, one constant) says nothing about liking and all rows stay.
    Rows without a rating stay.
    `k_core`: users and items with fewer liked rows than this are dropped, again and again until none is.

    Raises:
        ConfigError: a setting that cannot be meant.
    """

    preference: Preference = "auto"
    k_core: int = 0

    def __post_init__(self) -> None:
        named = self.preference in ("auto", "none", "user-mean")
        if not named and (not isinstance(self.preference, int | float) or math.isnan(self.preference)):
            raise ConfigError(
                f"Unknown preference {self.preference!r}; give 'auto', 'none', 'user-mean' or a number."
            )
        if self.k_core < 0:
            raise ConfigError(f"k_core is {self.k_core}; give 0 (off) or more.")


def cleaning_of(meta: Mapping[str, Any]) -> Cleaning:
    """What a data set's meta.json says in `cleaning`, such as {"preference": 4, "k_core": 5}.

    Raises:
        DataError: it is something else.
        ConfigError: a setting that cannot be meant.
    """
    said = meta.get("cleaning") or {}
    odd = not isinstance(said, Mapping) or set(said) - KEYS or type(said.get("k_core", 0)) is not int
    if odd or isinstance(said.get("preference"), bool):
        raise DataError(
            f"'cleaning' in meta.json is {said!r:.100}; give an object of preference ('auto', 'none', "
            "'user-mean' or a number) and k_core (a whole number)."
        )
    try:
        return Cleaning(**said)
    except ConfigError as error:
        raise ConfigError(f"'cleaning' in meta.json: {error}") from error


@dataclass(frozen=True, slots=True)
class Step:
    """One cleaning step: rows_before - rows_after = the sum of `why`."""

    name: str
    rows_before: int
    rows_after: int
    why: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CleaningReport:
    """Every dropped row, counted. The first step counts items, all later ones interactions.

    `notes` counts what was changed without dropping a row, and users left without a liked item.
    `remarks` says in words what was guessed or not read.
    """

    steps: tuple[Step, ...] = ()
    notes: dict[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The report as plain lists and dicts, ready for JSON."""
        steps = [asdict(step) for step in self.steps]
        return {"steps": steps, "notes": dict(self.notes), "remarks": list(self.remarks)}


def make_step(name: str, before: int, after: int, why: dict[str, int]) -> Step:
    """A step without the reasons that dropped nothing."""
    return Step(name, before, after, {reason: count for reason, count in why.items() if count})


def drop_repeats(rows: Rows) -> tuple[Rows, Step]:
    """Keep the earliest row of each (user, item) pair. `rows` must be sorted by user, then time."""
    kept = rows.take(first_of_each_pair(rows))
    return kept, make_step(
        "repeats", len(rows), len(kept), {"user met the item before": len(rows) - len(kept)}
    )


def keep_preferred(rows: Rows, preference: Preference) -> tuple[Rows, Step]:
    """Keep what users liked; see `Cleaning`. The step's name states the rule that was used."""
    name, why, keep = choose_rule(rows, preference)
    kept = rows.take(keep)
    return kept, make_step(f"preference: {name}", len(rows), len(kept), {why: len(rows) - len(kept)})


def choose_rule(rows: Rows, preference: Preference) -> tuple[str, str, Mask]:
    """The rule in words, why a row fails it, and which rows pass."""
    rated = ~np.isnan(rows.ratings)
    values = np.unique(rows.ratings[rated])
    if preference == "auto":
        preference, seen = judge_scale(values)
    else:
        seen = "as asked"
    if preference == "none":
        return f"all rows kept ({seen})", "", np.ones(len(rows), dtype=bool)
    if preference == "user-mean":
        keep = ~rated | _reaches_mean(rows, rated)
        return f"rating >= the user's own mean ({seen})", "rating < the user's own mean", keep
    keep = ~rated | (rows.ratings >= float(preference))
    return f"rating >= {preference:g} ({seen})", f"rating < {preference:g}", keep


def judge_scale(values: NDArray[np.float64]) -> tuple[Preference, str]:
    """What distinct ratings (sorted) mean: a preference rule and what was seen, in words.

    >>> judge_scale(np.array([1.0, 2, 3]))
    (2.1, 'scale 1-3 seen')
    """
    if len(values) == 0:
        return "none", "no ratings"
    span = f"{values[0]:g}-{values[-1]:g}"
    if len(values) == 1:
        return "none", f"every rating is {values[0]:g}"
    if values.tolist() == [0.0, 1.0]:
        return 1.0, "only 0 and 1 seen"
    if 3 <= len(values) <= 21 and values[0] >= 0 and values[-1] <= 10:
        return round(LIKED_SHARE * float(values[-1]), 6), f"scale {span} seen"
    return "none", f"{len(values)} distinct values {span} are no rating scale"


def _reaches_mean(rows: Rows, rated: Mask) -> Mask:
    users = rows.users
    count = np.bincount(users[rated], minlength=int(users.max(initial=-1)) + 1)
    total = np.bincount(users[rated], weights=rows.ratings[rated], minlength=len(count))
    mean = total / np.maximum(count, 1)
    # The slack keeps equal ratings from falling below their own rounded mean.
    return np.asarray(rows.ratings >= mean[users] - 1e-9, dtype=bool)


def keep_core(rows: Rows, k: int) -> tuple[Rows, Step]:
    """Drop users, then items, with fewer than `k` rows until none is left; k = 0 keeps all."""
    before, few_users, few_items = len(rows), 0, 0
    while True:
        kept = rows.take(np.bincount(rows.users)[rows.users] >= k) if len(rows) else rows
        few_users += len(rows) - len(kept)
        rows = kept.take(np.bincount(kept.items)[kept.items] >= k) if len(kept) else kept
        few_items += len(kept) - len(rows)
        if len(rows) == len(kept):
            break
    why = {f"user with fewer than {k}": few_users, f"item with fewer than {k}": few_items}
    return rows, make_step(f"k-core: {k}" if k else "k-core: off", before, len(rows), why)
