"""Known values, simulated coverage and p values."""

import itertools
import json
import tracemalloc
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrec_prompt.errors import ConfigError, DataError
from llmrec_prompt.evaluate import statistics
from llmrec_prompt.evaluate.statistics import (
    Interval,
    bootstrap_interval,
    detectable_difference,
    holm,
    paired_test,
)


def test_interval_is_frozen_and_plain() -> None:
    interval = bootstrap_interval([0, 1, 1, 0], samples=50)
    assert json.loads(json.dumps(interval.as_dict())) == interval.as_dict()
    assert Interval(**interval.as_dict()) == interval
    with pytest.raises(FrozenInstanceError):
        interval.mean = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("values", [[0.3], [0.1] * 7, np.zeros(5), [True]])
def test_no_spread_gives_no_width(values: list[float]) -> None:
    interval = bootstrap_interval(values, samples=100)
    assert interval.low == interval.high == interval.mean == pytest.approx(float(values[0]))


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.integers(0, 1000))
def test_bounds_are_ordered_and_inside_the_values(values: list[float], seed: int) -> None:
    interval = bootstrap_interval(values, samples=100, seed=seed)
    assert min(values) - 1e-12 <= interval.low <= interval.high <= max(values) + 1e-12
    assert interval == bootstrap_interval(values, samples=100, seed=seed)


def test_half_width_matches_the_normal_approximation() -> None:
    values = np.random.default_rng(1).normal(size=2000)
    interval = bootstrap_interval(values, samples=4000)
    error = values.std() / np.sqrt(len(values))
    assert interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_a_higher_level_is_wider_and_the_seed_matters() -> None:
    values = np.random.default_rng(2).random(50)
    narrow, wide = bootstrap_interval(values, level=0.5), bootstrap_interval(values, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_interval_covers_the_truth_as_often_as_it_says(level: float) -> None:
    rng = np.random.default_rng(3)
    truth = 0.3
    covered = 0
    for seed in range(500):
        interval = bootstrap_interval(rng.random(200) < truth, level=level, samples=400, seed=seed)
        covered += interval.low <= truth <= interval.high
    # Four standard errors of 500 trials, and a little for the bootstrap's own bias.
    assert covered / 500 == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / 500) + 0.01)


def test_chunks_bound_the_memory() -> None:
    values = np.random.default_rng(4).random(100_000)
    tracemalloc.start()
    try:
        bootstrap_interval(values, samples=50)
        paired_test(values, values[::-1], permutations=50)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 * 2**20  # all at once: 50 * 100,000 * 8 bytes twice is 76 MiB


def test_chunks_do_not_change_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(5).random(33)
    whole = bootstrap_interval(values, samples=101)
    monkeypatch.setattr(statistics, "_CELLS", 100)
    assert bootstrap_interval(values, samples=101) == whole


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_a_level_outside_zero_to_one_is_refused(level: float) -> None:
    with pytest.raises(ConfigError, match=f"level {level}"):
        bootstrap_interval([0.5, 0.6], level=level)


def test_no_resamples_are_refused() -> None:
    with pytest.raises(ConfigError, match="samples=0"):
        bootstrap_interval([0.5, 0.6], samples=0)
    with pytest.raises(ConfigError, match="permutations=0"):
        paired_test([0.5, 0.6], [0.1, 0.2], permutations=0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], r"shape \(0,\)"),
        (0.5, r"shape \(\)"),
        ([[0.5]], r"shape \(1, 1\)"),
        ([0.5, float("nan"), float("inf")], "2 values that are not finite"),
    ],
)
def test_values_that_are_not_one_number_per_user_are_refused(values: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        bootstrap_interval(values)
    with pytest.raises(DataError, match=f"'b'.*{message}"):
        paired_test([0.5], values)


def test_unpaired_values_are_refused() -> None:
    with pytest.raises(DataError, match="3 and 2"):
        paired_test([1, 2, 3], [1, 2])


def test_paired_test_matches_all_sign_flips() -> None:
    d = np.array([0.3, -0.1, 0.2, 0.5, 0.4, -0.2, 0.1, 0.3])
    sums = [abs(np.dot(signs, d)) for signs in itertools.product([-1, 1], repeat=len(d))]
    exact = np.mean(np.array(sums) >= abs(d.sum()) - 1e-9)
    assert paired_test(d, np.zeros(8), permutations=40_000) == pytest.approx(exact, abs=0.01)


def test_ties_with_the_observed_sum_count() -> None:
    # Of the 8 flips, +++ and --- reach the observed sum.
    assert paired_test([0.3] * 3, [0.2] * 3, permutations=40_000) == pytest.approx(0.25, abs=0.01)


@settings(max_examples=50)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=12))
def test_rounding_does_not_break_ties(whole: list[int]) -> None:
    # Whole numbers add up exactly, tenths do not (0.1 + 0.2 != 0.3): the p value must be the same.
    tenths = [n / 10 for n in whole]
    none = [0] * len(whole)
    assert paired_test(tenths, none, permutations=999) == paired_test(whole, none, permutations=999)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30))
def test_the_p_value_is_two_sided_and_ignores_equal_users(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs).T
    p = paired_test(a, b, permutations=99)
    assert 1 / 100 <= p <= 1
    assert paired_test(b, a, permutations=99) == p
    assert paired_test([*a, 3], [*b, 3], permutations=99) == p


def test_no_difference_gives_one_and_a_clear_one_the_least() -> None:
    rng = np.random.default_rng(6)
    a = rng.random(100)
    assert paired_test(a, a) == 1.0
    assert paired_test(a + 0.2 + 0.1 * rng.normal(size=100), a, permutations=999) == 1 / 1000


def test_p_values_are_about_uniform_under_the_null() -> None:
    rng = np.random.default_rng(7)
    p = [
        paired_test(rng.normal(size=30), rng.normal(size=30), permutations=199, seed=seed)
        for seed in range(1000)
    ]
    for level in (0.05, 0.25, 0.5, 0.75):
        assert np.mean(np.array(p) <= level) == pytest.approx(
            level, abs=4 * np.sqrt(level * (1 - level) / 1000)
        )


def test_holm_never_falls_and_never_passes_one() -> None:
    tests = holm([{"p": 0.5}, {"p": 0.01}, {"p": 0.6}])
    assert [t["p_holm"] for t in tests] == [1.0, 0.03, 1.0]


@pytest.mark.parametrize("tests", [1, 250, 600, 3000])
def test_what_is_clear_stays_significant_among_many_tests(tests: int) -> None:
    many = statistics.permutations_for(tests)
    clear = paired_test([1.0] * 60, [0.0] * 60, permutations=many)
    assert holm([{"p": clear}] + [{"p": 1.0}] * (tests - 1))[0]["p_holm"] < 0.05


def test_holm_keeps_false_alarms_rare_over_many_tests() -> None:
    rng = np.random.default_rng(8)
    families = [holm([{"p": p} for p in rng.random(10)]) for _ in range(2000)]
    assert np.mean([min(t["p_holm"] for t in f) < 0.05 for f in families]) == pytest.approx(0.05, abs=0.02)
    assert np.mean([min(t["p"] for t in f) < 0.05 for f in families]) > 0.3


@pytest.mark.parametrize("power", [0.5, 0.8])
def test_a_detectable_difference_is_detected_as_often_as_it_says(power: float) -> None:
    rng = np.random.default_rng(9)
    least = detectable_difference(rng.normal(size=100_000), power=power) * np.sqrt(100_000 / 100)
    seen = [
        paired_test(rng.normal(least, 1, 100), np.zeros(100), permutations=400) < 0.05 for _ in range(400)
    ]
    assert np.mean(seen) == pytest.approx(power, abs=4 * np.sqrt(power * (1 - power) / 400))


def test_detectable_difference_by_hand() -> None:
    d = [0.1, -0.1, 0.3, 0.0]
    assert detectable_difference(d) == pytest.approx((1.959964 + 0.841621) * np.std(d, ddof=1) / 2, abs=1e-6)
    assert detectable_difference([0.2, 0.2]) == 0.0


def test_what_cannot_be_detected_is_refused() -> None:
    with pytest.raises(DataError, match="at least two users"):
        detectable_difference([0.1])
    with pytest.raises(ConfigError, match=r"alpha 1\.0 and power 0\.8"):
        detectable_difference([0.1, 0.2], alpha=1.0)
    with pytest.raises(ConfigError, match="power 80"):
        detectable_difference([0.1, 0.2], power=80)
