"""Hand-worked numbers, bounds, and agreement with independent formulas."""

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrec_prompt.errors import ConfigError, DataError
from llmrec_prompt.evaluate.lists import (
    average_popularity,
    category_diversity,
    coverage,
    event_rates,
    gini,
    group_lift,
    miscalibration,
    novelty,
    popularity_lift,
    vector_diversity,
)

POPULARITY = {"a": 8, "b": 4, "c": 2, "d": 0}
LABELS = {"a": ["Horror", "Comedy"], "b": ["Horror"], "c": ["Drama"], "d": []}
CATALOGUE = list("abcd")
ids_lists = st.lists(st.permutations(CATALOGUE), min_size=1, max_size=5)


def test_hand_worked():
    lists = [["a", "b", "c"], ["a", "d", "c"]]
    assert coverage(lists, CATALOGUE, k=1) == 0.25
    assert coverage(lists, CATALOGUE, k=2) == 0.75
    # Shown 0, 1, 1, 2 times: (-3 * 0 - 1 * 1 + 1 * 1 + 3 * 2) / (3 * 4).
    assert gini(lists, CATALOGUE, k=2) == pytest.approx(0.5)
    assert category_diversity(list("abcd"), LABELS) == pytest.approx((0.5 + 1 + 1) / 3)
    assert novelty(list("abcd"), POPULARITY, 16) == pytest.approx((1 + 2 + 3 + 4) / 4)
    assert average_popularity(list("abcd"), POPULARITY) == 3.5
    assert popularity_lift(["a", "b"], ["b", "c"], POPULARITY) == pytest.approx((6 - 3) / 3)


def test_only_the_first_k_count():
    assert average_popularity(list("ad"), POPULARITY, k=1) == 8
    assert novelty(list("ad"), POPULARITY, 8, k=1) == 0
    assert category_diversity(list("abc"), LABELS, k=2) == 0.5
    assert vector_diversity(list("abc"), dict(zip("abc", np.eye(3), strict=True)), k=1) is None
    assert miscalibration(list("bc"), ["b"], LABELS, k=1) == 0


def test_miscalibration_by_hand():
    # History: Horror 3/4, Comedy 1/4; list: Drama alone, so alpha of the history is all that is left.
    assert miscalibration(["c"], ["a", "b"], LABELS, alpha=0.01) == pytest.approx(-log(0.01))
    expected = 0.75 * log(0.75 / (0.9 * 0.5 + 0.1 * 0.75)) + 0.25 * log(0.25 / (0.9 * 0.5 + 0.1 * 0.25))
    assert miscalibration(["a"], ["a", "b"], LABELS, alpha=0.1) == pytest.approx(expected)


def test_what_has_no_labels_is_left_out_not_zero():
    assert category_diversity(["b", "d"], LABELS) is None
    assert category_diversity(["b", "d", "c"], LABELS) == 1
    assert miscalibration(["d"], ["a"], LABELS) is None
    assert miscalibration(["a"], ["d"], LABELS) is None
    assert miscalibration(["b", "d"], ["b"], LABELS) == 0
    assert vector_diversity(["a", "b"], {"a": np.ones(2), "b": np.zeros(2)}) is None


def test_empty_sides_are_not_defined():
    assert novelty([], POPULARITY, 8) is None
    assert average_popularity([], POPULARITY) is None
    assert popularity_lift(["a"], [], POPULARITY) is None
    assert popularity_lift(["a"], ["d"], POPULARITY) is None  # nobody has d: no share of it
    assert group_lift([], []) is None
    assert gini([[]], CATALOGUE) is None
    assert coverage([], CATALOGUE) == 0
    assert event_rates([]) == {}


def test_an_item_nobody_has_is_as_novel_as_one_that_a_single_user_has():
    assert novelty(["d"], POPULARITY, 8) == novelty(["x"], {"x": 1}, 8) == 3


def test_a_groups_lift_is_not_ruled_by_one_user():
    assert group_lift([4.0, 4.0], [4.0, 1.0]) == pytest.approx(0.6)
    lifts = [popularity_lift(["b"], history, {**POPULARITY, "e": 1}) for history in (["b"], ["e"])]
    assert np.mean(lifts) == pytest.approx(1.5)


def test_zeros_are_no_events():
    assert event_rates([{"tied": 0, "text_cut": 3}, {}]) == {"text_cut": 0.5}


def test_ids_outside_the_catalogue_are_refused():
    with pytest.raises(DataError, match="'x' is recommended but not in the catalogue"):
        coverage([["a", "x"]], CATALOGUE)
    with pytest.raises(DataError, match="catalogue is empty"):
        gini([], [])
    for call in (average_popularity, lambda ids, p: novelty(ids, p, 8)):
        with pytest.raises(DataError, match="popularity of item 'x' is not known"):
            call(["x"], POPULARITY)


def test_settings_that_cannot_be_meant():
    for call in (
        lambda: coverage([["a"]], CATALOGUE, k=0),
        lambda: category_diversity(["a"], LABELS, k=0),
        lambda: average_popularity(["a"], POPULARITY, k=0),
    ):
        with pytest.raises(ConfigError, match="k=0 is below 1"):
            call()
    with pytest.raises(ConfigError, match="alpha 0"):
        miscalibration(["a"], ["a"], LABELS, alpha=0)
    with pytest.raises(ConfigError, match="0 users"):
        novelty(["a"], POPULARITY, 0)


@settings(max_examples=30)
@given(ids_lists, st.integers(1, 5))
def test_gini_is_half_the_mean_difference(lists, k):
    shown = np.array([sum(i in ids[:k] for ids in lists) for i in CATALOGUE])
    apart = np.abs(shown[:, None] - shown[None, :]).sum() / (4 * 3)  # over pairs of different items
    assert gini(lists, CATALOGUE, k=k) == pytest.approx(apart / (2 * shown.mean()))
    assert -1e-12 <= gini(lists, CATALOGUE, k=k) <= 1 + 1e-12
    assert coverage(lists, CATALOGUE, k=k) == np.count_nonzero(shown) / 4


@settings(max_examples=30)
@given(st.permutations(CATALOGUE), st.permutations(CATALOGUE), st.integers(1, 4))
def test_values_keep_their_bounds(ids, history, k):
    assert 0 <= (category_diversity(ids, LABELS, k=k) or 0) <= 1
    assert 0 <= (miscalibration(ids, history, LABELS, k=k) or 0) <= -log(0.01)
    assert 0 <= novelty(ids, POPULARITY, 8, k=k) <= 3
    assert popularity_lift(ids, history, POPULARITY, k=k) >= -1


@settings(max_examples=30)
@given(st.permutations(CATALOGUE))
def test_order_within_the_first_k_does_not_matter(ids):
    for metric in (
        lambda i: category_diversity(i, LABELS),
        lambda i: novelty(i, POPULARITY, 8),
        lambda i: miscalibration(i, ["a"], LABELS),
    ):
        assert metric(ids) == pytest.approx(metric(CATALOGUE))


def test_vector_diversity_is_the_mean_off_diagonal_cosine_distance():
    vectors = np.random.default_rng(0).normal(size=(6, 4))
    cosine = np.corrcoef(vectors - vectors.mean(axis=1, keepdims=True))  # centred rows: the same as cosine
    centred = dict(zip("abcdef", vectors - vectors.mean(axis=1, keepdims=True), strict=True))
    expected = 1 - cosine[np.triu_indices(6, 1)].mean()
    assert vector_diversity(list("abcdef"), centred) == pytest.approx(expected)
