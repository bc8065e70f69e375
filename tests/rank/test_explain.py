import pytest

from llmrec_prompt.rank import FusedRanker, in_words, leave_one_out
from llmrec_prompt.types import Item

from .toys import Toy, items

LIKES = {
    "p": {"a": 1.0, "b": 0.5},
    "q": {"a": 2.0, "b": -1.0},
    "r": {"a": 0.0, "b": 0.25},
}
ADDITIVE = Toy(lambda seen, name: 7 + sum(LIKES[s][name] for s in seen))
ONE = {"toy": 1.0}


def gains(reasons):
    return [(reason.item.item_id, pytest.approx(reason.gain)) for reason in reasons]


def test_gains_of_an_additive_ranker_are_exact_and_strongest_first():
    for_a, for_b = leave_one_out(ADDITIVE, items("pqr"), items("ab"), ONE)
    assert gains(for_a) == [("q", 2.0), ("p", 1.0)]
    assert gains(for_b) == [("p", 0.5), ("r", 0.25)]


def test_gains_are_in_units_of_the_weighted_score():
    for_a = leave_one_out(ADDITIVE, items("pq"), items("a"), {"toy": 2.5})[0]
    assert gains(for_a) == [("q", 5.0), ("p", 2.5)]


def test_the_weights_of_the_whole_ranking_hold():
    # Alone, candidate `a` has no spread to be scaled by: the weights must come from outside.
    fused = FusedRanker([(ADDITIVE, 1.0), (Toy(lambda seen, name: len(seen), name="length"), 1.0)])
    reasons = leave_one_out(fused, items("pq"), items("a"), {"toy": 2.0, "length": 10.0})[0]
    assert gains(reasons) == [("q", 14.0), ("p", 12.0)]


def test_a_single_item_is_no_reason():
    assert leave_one_out(ADDITIVE, items("p"), items("ab"), ONE) == [[], []]
    assert leave_one_out(ADDITIVE, [], items("ab"), ONE) == [[], []]


def test_only_the_latest_items_are_tried_and_each_costs_one_evaluation():
    asked = []

    def score(seen, name):
        asked.append("".join(seen))
        return sum(LIKES[s][name] for s in seen)

    reasons = leave_one_out(Toy(score), items("qpr"), items("b"), ONE, latest=2)[0]
    assert gains(reasons) == [("p", 0.5), ("r", 0.25)]
    assert asked == ["qpr", "qr", "qp"]


def test_of_an_item_met_twice_each_meeting_counts():
    reasons = leave_one_out(ADDITIVE, items("pp"), items("a"), ONE)[0]
    assert gains(reasons) == [("p", 1.0), ("p", 1.0)]


def test_in_words():
    reasons = leave_one_out(ADDITIVE, items("pqr"), items("a"), ONE)[0]
    assert in_words(reasons) == ("Q (+2.00)", "P (+1.00)")
    assert in_words(reasons, most=1) == ("Q (+2.00)",)
    assert in_words([]) == ()
    assert isinstance(reasons[0].item, Item)
