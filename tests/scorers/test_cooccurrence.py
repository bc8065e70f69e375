from math import sqrt

import pytest

from llmrec_prompt.scorers.cooccurrence import CooccurrenceScorer

from .small import dataset, item

# n(a) = 2, n(b) = 3, n(c) = 2, n(d) = 0; n(a, b) = 2, n(a, c) = 1, n(b, c) = 2.
DATA = dataset("a, b, c, d", "u1 a b\nu2 c a b\nu3 b c\n")
AB, AC, BC = 2 / sqrt(2 * 3), 1 / sqrt(2 * 2), 2 / sqrt(3 * 2)


def scores(titles, **options):
    return CooccurrenceScorer(DATA, **options).score([item(title) for title in titles]).tolist()


def test_hand_worked():
    assert scores("a") == pytest.approx([0, AB, AC, 0])
    assert scores("b") == pytest.approx([AB, 0, BC, 0])
    assert scores("ac") == pytest.approx([AC, AB + BC, AC, 0])


def test_an_item_does_not_support_itself():
    for row, title in enumerate("abc"):
        assert scores(title)[row] == 0


def test_unknown_and_lonely_items_say_nothing():
    assert scores(["nobody's"]) == [0.0] * 4
    assert scores("d") == [0.0] * 4
    assert scores(["nobody's", "a"]) == scores("a")
    assert scores([]) == [0.0] * 4


def test_only_the_latest_items_count():
    assert scores("ab", recent_items=1) == scores("b")
    assert CooccurrenceScorer(DATA, recent_items=7).settings == {"recent_items": 7}


def test_without_logs_all_is_zero():
    assert CooccurrenceScorer(dataset("a, b")).score([item("a")]).tolist() == [0.0, 0.0]
