import numpy as np
import pytest

from llmrec_prompt.rank import FusedRanker, in_words, leave_one_out
from llmrec_prompt.types import Item, Scored

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


def test_a_mode_that_asks_about_all_at_once_is_asked_about_all():
    """Alone, a candidate of such a mode has the same score whatever the history."""

    def share(seen, name):
        return name in seen if len(asked) > 1 else 0.0

    class Listwise(Toy):
        listwise = True

        def score(self, history, candidates):
            asked[:] = candidates
            return super().score(history, candidates)

    asked = []
    ranker = Listwise(share)
    reasons = leave_one_out(ranker, items("pa"), items("bca"), ONE, places=[2])
    assert [gains(reason) for reason in reasons] == [[("a", 1.0)]]
    fused = FusedRanker([(ranker, 1.0)])
    assert [gains(r) for r in leave_one_out(fused, items("pa"), items("bca"), ONE, places=[2, 0])] == [
        [("a", 1.0)],
        [],
    ]


def test_other_modes_are_asked_about_what_is_to_be_explained_alone():
    asked = []

    def score(seen, name):
        asked.append(name)
        return len(seen)

    assert len(leave_one_out(Toy(score), items("pq"), items("abc"), ONE, places=[1])) == 1
    assert set(asked) == {"b"}


def test_what_stands_in_for_something_unknown_has_no_reasons():
    def score(history, names):
        values = np.array([float(len(history)), 3.0 * len(history)])
        return Scored({"toy": values}, ONE, stand_ins={"toy": np.array([True, False])})

    toy = Toy(None)
    toy.score = score
    new, known = leave_one_out(toy, items("pq"), items("ab"), ONE)
    assert new == []
    assert gains(known) == [("p", 3.0), ("q", 3.0)]


def test_in_words():
    reasons = leave_one_out(ADDITIVE, items("pqr"), items("a"), ONE)[0]
    assert in_words(reasons) == ("Q (+2.00)", "P (+1.00)")
    assert in_words(reasons, most=1) == ("Q (+2.00)",)
    assert in_words([]) == ()
    assert isinstance(reasons[0].item, Item)
