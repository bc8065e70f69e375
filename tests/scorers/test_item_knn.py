from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec_prompt.errors import ConfigError
from llmrec_prompt.scorers.cooccurrence import CooccurrenceScorer
from llmrec_prompt.scorers.item_knn import ItemKnnScorer

from ..data.strategies import data_sets
from .small import dataset, item

# n(a) = 2, n(b) = 3, n(c) = 2, n(d) = 0; n(a, b) = 2, n(a, c) = 1, n(b, c) = 2.
DATA = dataset("a, b, c, d", "u1 a b\nu2 c a b\nu3 b c\n")
AB, AC, BC = 2 / (sqrt(2 * 3) + 1), 1 / (sqrt(2 * 2) + 1), 2 / (sqrt(3 * 2) + 1)
PLAIN = {"shrinkage": 1.0, "half_life": None}


def scores(titles, **options):
    return ItemKnnScorer(DATA, **{**PLAIN, **options}).score([item(title) for title in titles]).tolist()


def test_hand_worked():
    assert scores("a") == pytest.approx([0, AB, AC, 0])
    assert scores("b") == pytest.approx([AB, 0, BC, 0])
    assert scores("ac") == pytest.approx([AC, AB + BC, AC, 0])


def test_only_the_nearest_neighbours_vote():
    assert scores("a", neighbours=1) == pytest.approx([0, AB, 0, 0])
    assert scores("ac", neighbours=1) == pytest.approx([0, AB + BC, 0, 0])


def test_equally_near_neighbours_are_taken_in_catalogue_order():
    assert scores("b", neighbours=1) == pytest.approx([AB, 0, 0, 0])


def test_shrinkage_puts_well_supported_pairs_first():
    data = dataset("a, b, c", "u1 a b\nu2 a c\nu3 a c\nu4 a\nu5 c\n")  # n(a) = 4, n(c) = 3
    few = dataset("a, b, c", "u1 a b\nu2 a c\nu3 a c\nu4 c\nu5 c\nu6 c\nu7 c\n")
    assert ItemKnnScorer(data, shrinkage=0).score([item("a")]) == pytest.approx([0, 1 / 2, 2 / sqrt(12)])
    raw, damped = (ItemKnnScorer(few, shrinkage=s).score([item("a")]) for s in (0, 10))
    assert raw[1] > raw[2]
    assert damped[2] > damped[1]


def test_older_items_count_for_less():
    assert scores("ac", half_life=1) == pytest.approx([AC, AB / 2 + BC, AC / 2, 0])
    assert scores(["a", "nobody's"], half_life=1)[1] == pytest.approx(AB / 2)


def test_unknown_and_lonely_items_say_nothing():
    assert scores(["nobody's"]) == [0.0] * 4
    assert scores("d") == [0.0] * 4
    assert scores(["nobody's", "a"]) == scores("a")
    assert scores([]) == [0.0] * 4


def test_only_the_latest_items_count():
    assert scores("ab", recent_items=1) == scores("b")


def test_settings_say_all_that_matters():
    settings = {"neighbours": 2, "shrinkage": 3.0, "half_life": 4.0, "recent_items": 7}
    assert ItemKnnScorer(DATA, **settings).settings == settings


@pytest.mark.parametrize("wrong", [{"neighbours": 0}, {"shrinkage": -1}, {"half_life": 0}])
def test_settings_that_cannot_be_meant(wrong):
    with pytest.raises(ConfigError, match="item-knn with"):
        ItemKnnScorer(DATA, **wrong)


def test_without_logs_all_is_zero():
    assert ItemKnnScorer(dataset("a, b")).score([item("a")]).tolist() == [0.0, 0.0]


@given(data_sets())
def test_with_all_neighbours_and_no_damping_it_is_co_occurrence(data):
    everybody = ItemKnnScorer(data, neighbours=len(data.items), shrinkage=0, half_life=None)
    for user in data.users:
        history = data.history_items(user)
        assert everybody.score(history) == pytest.approx(
            CooccurrenceScorer(data, recent_items=100).score(history), abs=1e-6
        )


@given(data_sets(), st.integers(1, 4))
def test_a_smaller_neighbourhood_only_removes_votes(data, neighbours):
    small, large = (ItemKnnScorer(data, neighbours=n) for n in (neighbours, neighbours + 1))
    for one in data.items:
        few, more = small.score([one]), large.score([one])
        assert np.count_nonzero(few) <= neighbours
        assert np.all((few == 0) | (few == more))
