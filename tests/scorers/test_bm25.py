import numpy as np
import pytest

from llmrec_prompt.scorers.bm25 import Bm25Scorer

from .small import PROMPTER, dataset, item

DATA = dataset("red lantern, blue lantern, green tea, black tea house, 星河 旅店, x y")


def scores(*titles, data=DATA, **options):
    return Bm25Scorer(data, PROMPTER, **options).score([item(title, f"q{title}") for title in titles])


def test_items_that_share_words_are_found():
    found = scores("old lantern")
    assert (found > 0).tolist() == [True, True, False, False, False, False]
    assert found[0] == found[1]  # as long, and they share the same word


def test_rare_words_and_short_texts_count_more():
    found = scores("tea red")
    assert found[0] > found[2] > found[3] > 0  # "red" is rarer than "tea"; "green tea" is shorter
    assert found[1] == 0


def test_one_letter_words_and_other_scripts_count():
    assert np.flatnonzero(scores("y")).tolist() == [5]
    assert np.flatnonzero(scores("旅店")).tolist() == [4]


def test_case_does_not_matter():
    assert scores("LANTERN").tolist() == scores("lantern").tolist()


@pytest.mark.parametrize("titles", [(), ("unheard of",), ("!!!",)])
def test_nothing_shared_is_nothing(titles):
    assert scores(*titles).tolist() == [0.0] * 6


def test_a_history_is_the_mean_over_its_latest_items():
    both = scores("old lantern", "tea")
    assert both == pytest.approx((scores("old lantern") + scores("tea")) / 2)
    assert scores("old lantern", "tea", recent_items=1).tolist() == scores("tea").tolist()
    assert Bm25Scorer(DATA, PROMPTER, recent_items=3).settings == {"recent_items": 3}


def test_a_catalogue_without_words_scores_zero():
    assert scores("old lantern", data=dataset("!!!, ???")).tolist() == [0.0, 0.0]
