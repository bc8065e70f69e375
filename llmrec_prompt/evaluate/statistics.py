"""How sure a mean over users is: interval, paired test, least detectable difference.

Users are the unit of resampling. Knows nothing about rankings or models: it takes one number per user.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from llmrec_prompt.errors import ConfigError, DataError

Floats = NDArray[np.float64]

# Numbers drawn at once. 2**20 eight-byte draws are 8 MiB, whatever the number of users.
_CELLS = 2**20

PERMUTATIONS = 10_000
"""Of a test: the least p value is 1 / 10,001."""
_PER_TEST = 40


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the bounds of its confidence interval.

    Example:
        >>> Interval(mean=0.5, low=0.4, high=0.6).as_dict()
        {'mean': 0.5, 'low': 0.4, 'high': 0.6}
    """

    mean: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """Return the three numbers as a plain dict, ready for JSON."""
        return asdict(self)


def bootstrap_interval(
    values: ArrayLike, *, level: float = 0.95, samples: int = 2000, seed: int = 0
) -> Interval:
    """Return the mean over users and its percentile bootstrap interval.

    Draw n users with replacement `samples` times; low and high are the (1 - level) / 2 and (1 + level) / 2
    quantiles of the drawn means. One user gives low = high = mean: there is no spread to draw from.
    Source: Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 1979.

    Raises:
        ConfigError: `level` is not between 0 and 1, or `samples` is below 1.
        DataError: `values` is empty, not one number per user, or not finite.

    Example:
        >>> bootstrap_interval([1.0]).as_dict()
        {'mean': 1.0, 'low': 1.0, 'high': 1.0}
        >>> wide = bootstrap_interval([0, 1] * 50)
        >>> 0.35 < wide.low < wide.mean < wide.high < 0.65
        True
    """
    if not 0 < level < 1:
        raise ConfigError(f"Confidence level {level!r} is not between 0 and 1; 0.95 is usual.")
    users = _per_user("values", values)
    rng = np.random.default_rng(seed)
    n = len(users)
    means = [users[rng.integers(n, size=(rows, n))].mean(axis=1) for rows in _chunks(n, samples, "samples")]
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean=float(users.mean()), low=float(low), high=float(high))


def paired_test(a: ArrayLike, b: ArrayLike, *, permutations: int = PERMUTATIONS, seed: int = 0) -> float:
    """Return the two-sided p value of the paired randomisation test that a and b have the same mean.

    With d = a - b per user: flip the sign of each d by a fair coin, `permutations` times, and count how often
    |sum of flipped d| >= |sum of d|; p = (count + 1) / (permutations + 1), so p is never 0.
    Source: Smucker, Allan and Carterette, "A comparison of statistical significance tests for information
    retrieval evaluation", CIKM 2007.

    Raises:
        ConfigError: `permutations` is below 1.
        DataError: a and b differ in length, are empty, not one number per user, or not finite.

    Example:
        >>> paired_test([0.2, 0.4, 0.9], [0.2, 0.4, 0.9])
        1.0
        >>> paired_test([1.0] * 20, [0.0] * 20) < 0.001
        True
    """
    first, second = _per_user("a", a), _per_user("b", b)
    if len(first) != len(second):
        raise DataError(f"Paired values differ in length: {len(first)} and {len(second)}; pair them by user.")
    d = first - second
    d = d[d != 0]  # A zero has no sign to flip, and most users tie on hit rates.
    # Flips that tie with what was observed must count, though they add up in another order.
    observed = abs(d.sum()) - 1e-12 * np.abs(d).sum()
    rng = np.random.default_rng(seed)
    count = 0
    for rows in _chunks(len(d), permutations, "permutations"):
        flipped = rng.integers(2, size=(rows, len(d)), dtype=np.int8) @ d
        count += int((np.abs(d.sum() - 2 * flipped) >= observed).sum())
    return (count + 1) / (permutations + 1)


def permutations_for(tests: int) -> int:
    """Return how many permutations each of so many tests needs that are corrected together (`holm`).

    The least p value of a test must stay below 0.05 when it is multiplied by the number of tests, else none
    could ever be significant, whatever the data: 40 a test make it 0.025.

    Example:
        >>> permutations_for(10), permutations_for(1000)
        (10000, 40000)
    """
    return max(PERMUTATIONS, _PER_TEST * tests)


def holm(tests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add `p_holm` to tests that have a `p`: what each p is worth when so many were tried.

    Each p times the number of tests not yet passed by a smaller p, never falling.
    Source: Holm, "A simple sequentially rejective multiple test procedure", 1979.

    Example:
        >>> [t["p_holm"] for t in holm([{"p": 0.04}, {"p": 0.01}, {"p": 0.03}])]
        [0.06, 0.03, 0.06]
    """
    order = sorted(range(len(tests)), key=lambda i: tests[i]["p"])
    highest = 0.0
    for place, i in enumerate(order):
        highest = max(highest, min(1.0, tests[i]["p"] * (len(tests) - place)))
        tests[i]["p_holm"] = round(highest, 5)
    return tests


def detectable_difference(differences: ArrayLike, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return the least true difference of two means that this many users would show, most of the time.

    (z of 1 - alpha / 2, plus z of power) * s / sqrt(n), with s the standard deviation of the n paired
    differences: a true difference of this size is significant at `alpha` in `power` of all such tests.
    Source: Cohen, "Statistical power analysis for the behavioral sciences", 1988; for retrieval Webber,
    Moffat and Zobel, "Statistical power in retrieval experimentation", CIKM 2008.

    Raises:
        ConfigError: `alpha` or `power` is not between 0 and 1.
        DataError: fewer than two users, not one number per user, or not finite.

    Example:
        >>> round(detectable_difference([0.2, -0.2] * 100), 3)
        0.04
    """
    if not (0 < alpha < 1 and 0 < power < 1):
        raise ConfigError(f"alpha {alpha!r} and power {power!r}: both lie between 0 and 1, as 0.05 and 0.8.")
    d = _per_user("differences", differences)
    if len(d) < 2:
        raise DataError("The spread of one user's difference is not known; give at least two users.")
    normal = NormalDist()
    z = normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)
    return float(z * d.std(ddof=1) / np.sqrt(len(d)))


def _per_user(name: str, values: ArrayLike) -> Floats:
    users = np.asarray(values, dtype=np.float64)
    if users.ndim != 1 or len(users) == 0:
        raise DataError(f"Argument {name!r} has shape {users.shape}; give one number per user, at least one.")
    # One nan would make every result nan, or a p value that looks fine.
    if not np.isfinite(users).all():
        raise DataError(f"Argument {name!r} holds {(~np.isfinite(users)).sum()} values that are not finite.")
    return users


def _chunks(width: int, total: int, name: str) -> Iterator[int]:
    """Yield row counts that add up to `total`, each small enough for rows of `width` numbers."""
    if total < 1:
        raise ConfigError(f"Argument {name}={total!r} is below 1; use at least 1000 for a stable result.")
    rows = max(1, _CELLS // max(1, width))
    for start in range(0, total, rows):
        yield min(rows, total - start)
