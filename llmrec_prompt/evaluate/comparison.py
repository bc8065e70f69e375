"""Whether one set of values per user is better than another, and whether these users can tell.

Knows nothing about rankings or files: it takes one number per user id, for one metric.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from llmrec_prompt.errors import ConfigError, DataError, UnknownName
from llmrec_prompt.evaluate.statistics import (
    PERMUTATIONS,
    Interval,
    bootstrap_interval,
    detectable_difference,
    holm,
    paired_test,
    permutations_for,
)

ALPHA, POWER = 0.05, 0.8
"""Conventional: the chance of seeing a difference where none is, and of seeing one that is there."""

Values = Mapping[str, float]
"""One number per user id."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sets of values over the users that both have; `difference` is a minus b.

    `only_a` and `only_b` count the users that the other side lacks: they are in none of the numbers.
    `detectable` is the least true difference that this many users show in 80 % of all tests.
    """

    users: int
    only_a: int
    only_b: int
    mean_a: float
    mean_b: float
    difference: Interval
    p: float
    detectable: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def compare_runs(
    values_a: Values, values_b: Values, *, seed: int = 0, permutations: int = PERMUTATIONS
) -> Comparison:
    """Compare two sets of values user by user: interval of the difference, paired test, what could be seen.

    Sources: those of `bootstrap_interval`, `paired_test` and `detectable_difference`.

    Args:
        values_a: a metric per user, in any order.
        values_b: the same metric of the other side; users are matched by id.
        seed: of the resamples.
        permutations: of the test; `permutations_for` says how many where many tests are corrected together.

    Raises:
        DataError: fewer than two users are on both sides, or a value is not finite.

    Example:
        >>> found = compare_runs({"u1": 1.0, "u2": 0.5, "u3": 0.0}, {"u2": 0.25, "u1": 0.5})
        >>> found.users, found.only_a, found.only_b, found.difference.mean
        (2, 1, 0, 0.375)
    """
    both = sorted(values_a.keys() & values_b.keys())
    if len(both) < 2:
        raise DataError(
            f"{len(both)} users are on both sides ({len(values_a)} on one, {len(values_b)} on the other): "
            "compare runs over the same users, at least two."
        )
    a, b = (np.array([values[user] for user in both], np.float64) for values in (values_a, values_b))
    return Comparison(
        users=len(both),
        only_a=len(values_a) - len(both),
        only_b=len(values_b) - len(both),
        mean_a=float(a.mean()),
        mean_b=float(b.mean()),
        difference=bootstrap_interval(a - b, level=1 - ALPHA, seed=seed),
        p=paired_test(a, b, permutations=permutations, seed=seed),
        detectable=detectable_difference(a - b, alpha=ALPHA, power=POWER),
    )


def against_baseline(
    rows: Mapping[str, Values], baseline: str, *, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Compare every row with a named one; `p_holm` is corrected over all of them.

    Args:
        rows: values of one metric per user, by ranker (or ranker and metric: whatever is tested together).
        baseline: the row that all others are held against.
        seed: of the resamples.

    Returns:
        For each other row, in the order given, the fields of its `Comparison` and `p_holm`.

    Raises:
        UnknownName: there is no row of the baseline's name.
        ConfigError: there is no other row.
        DataError: as `compare_runs`.

    Example:
        >>> rows = {"base": {"u1": 0.5, "u2": 0.25}, "new": {"u1": 0.5, "u2": 0.25}}
        >>> against_baseline(rows, "base")["new"]["p_holm"]
        1.0
    """
    if baseline not in rows:
        raise UnknownName("baseline", baseline, rows)
    others = [name for name in rows if name != baseline]
    if not others:
        raise ConfigError(f"There is only {baseline!r}, so it can be compared with nothing. Add a ranker.")
    many = permutations_for(len(others))
    found = [compare_runs(rows[name], rows[baseline], seed=seed, permutations=many) for name in others]
    tests = [test.as_dict() for test in found]
    return dict(zip(others, holm(tests), strict=True))


def verdict(found: Comparison, *, a: str = "A", b: str = "B", p: float | None = None) -> str:
    """Say in words what a comparison shows.

    Args:
        found: the comparison.
        a: what the first side is called.
        b: what the second side is called.
        p: a corrected p value (`p_holm`) to judge by instead of the comparison's own.

    Example:
        >>> users = [f"u{n}" for n in range(200)]
        >>> noisy = dict(zip(users, [0.2, -0.2] * 100))
        >>> verdict(compare_runs(noisy, dict.fromkeys(users, 0.0))).partition(" cannot ")[0]
        'Too close to call: with 200 users a difference under 0.040'
    """
    judged = found.p if p is None else p
    said = f"{a} - {b} = {found.difference.mean:+.3f}, p = {judged:.3f}"
    if not found.detectable and not found.difference.mean:
        text = f"No difference: {a} and {b} are equal for each of the {found.users} users."
    elif judged < ALPHA:
        better, worse = (a, b) if found.difference.mean > 0 else (b, a)
        text = f"{better} is better than {worse} over {found.users} users ({said})."
    else:
        text = (
            f"Too close to call: with {found.users} users a difference under {found.detectable:.3f} "
            f"cannot be told from chance ({said})."
        )
    return text + _left_out(found, a, b)


def _left_out(found: Comparison, a: str, b: str) -> str:
    sides = [f"{n} only in {name}" for n, name in ((found.only_a, a), (found.only_b, b)) if n]
    return f" Not compared: {' and '.join(sides)}." if sides else ""
