import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec_prompt import Dataset, Interaction
from llmrec_prompt.data import Cleaning
from llmrec_prompt.errors import BackendError, ConfigError
from llmrec_prompt.rank import FusedRanker, ScorerRanker, combine, rank
from llmrec_prompt.scorers.plain import PopularityScorer

from .toys import PaidToy, Toy, items, table

HISTORY = items("h")
A = {"a": 1.0, "b": 2.0, "c": 3.0}  # mean 2, standard deviation sqrt(2/3)
B = {"a": 10.0, "b": 10.0, "c": 40.0}  # mean 20, standard deviation sqrt(200)
FLAT = {"a": 5.0, "b": 5.0, "c": 5.0}


def fuse(*parts):
    return FusedRanker([(table(values, name=name), weight) for name, values, weight in parts])


def test_parts_are_z_scored_weighted_and_added():
    scored = fuse(("A", A, 1.0), ("B", B, 0.5)).score(HISTORY, items("abc"))
    z_a = np.array([-1, 0, 1]) / np.sqrt(2 / 3)
    z_b = np.array([-10, -10, 20]) / np.sqrt(200)
    assert combine(scored) == pytest.approx(z_a + 0.5 * z_b)
    assert scored.parts["A"].tolist() == [1.0, 2.0, 3.0]
    assert scored.weights == pytest.approx({"A": 1 / np.sqrt(2 / 3), "B": 0.5 / np.sqrt(200)})
    assert scored.settings == {"A": {"weight": 1.0}, "B": {"weight": 0.5}}
    assert scored.events == {}


def test_a_part_counts_whole_but_for_what_is_a_part_of_its_own():
    """An encoder's score has a nearness and a popularity; the latter is not to count twice."""
    parts = {"A": [1.0, 2.0, 3.0], "near": [5.0, 1.0, 0.0], "B": [9.0, 0.0, 0.0]}
    many = Toy(lambda seen, name: 0.0, name="A", parts=parts, weights={"A": 2.0, "near": 1.0, "B": 7.0})
    scored = FusedRanker([(many, 1.0), (table(B, name="B"), 1.0)]).score(HISTORY, items("abc"))
    assert scored.parts["A"].tolist() == [7.0, 5.0, 6.0]
    assert scored.parts["B"].tolist() == [10.0, 10.0, 40.0]


numbers = st.lists(st.integers(-1000, 1000), min_size=2, max_size=8, unique=True)


@given(numbers, numbers, st.floats(-3, 3).filter(bool))
def test_the_mean_is_zero_and_the_order_of_candidates_does_not_matter(first, second, weight):
    names = "abcdefgh"[: min(len(first), len(second))]
    fused = fuse(
        ("A", dict(zip(names, first, strict=False)), 1.0),
        ("B", dict(zip(names, second, strict=False)), weight),
    )
    forth = combine(fused.score(HISTORY, items(names)))
    back = combine(fused.score(HISTORY, items(names[::-1])))
    assert forth.mean() == pytest.approx(0, abs=1e-9)
    assert back[::-1] == pytest.approx(forth, abs=1e-9)


def test_a_flat_part_adds_nothing_and_is_counted():
    scored = fuse(("A", A, 1.0), ("B", FLAT, 3.0)).score(HISTORY, items("abc"))
    assert scored.events == {"flat:B": 1}
    assert scored.weights["B"] == 0
    assert combine(scored) == pytest.approx(combine(fuse(("A", A, 1.0)).score(HISTORY, items("abc"))))


@pytest.mark.parametrize("level", [0.0, 0.1, -523.7, -99999.123, 1e12])
def test_a_flat_part_is_flat_at_any_level(level):
    names = [f"i{n}" for n in range(61)]  # the rounded mean of 61 equal numbers need not be that number
    a = {name: float(n) for n, name in enumerate(names)}
    flat = dict.fromkeys(names, level)
    scored = fuse(("A", a, 1.0), ("B", flat, 1.0)).score(HISTORY, items(names))
    assert scored.events == {"flat:B": 1}
    assert combine(scored) == pytest.approx((np.arange(61) - 30) / np.arange(61).std())


def test_all_flat_is_all_tied():
    ranking = rank(fuse(("A", FLAT, 1.0), ("B", FLAT, 1.0)), HISTORY, items("abc"))
    assert ranking.provenance.events == {"all_tied": 1, "flat:A": 1, "flat:B": 1, "tied": 3}


def test_a_single_candidate_is_not_called_flat():
    ranking = rank(fuse(("A", A, 1.0)), HISTORY, items("a"))
    assert ranking.recommendations[0].score == 0
    assert ranking.provenance.events == {}


def test_a_part_that_is_no_number_is_an_error():
    with pytest.raises(BackendError, match="not finite"):
        rank(fuse(("A", {**A, "b": float("nan")}, 1.0), ("B", B, 1.0)), HISTORY, items("abc"))


def test_parts_without_a_weight_are_left_out():
    assert set(fuse(("A", A, 1.0), ("B", B, 0.0)).score(HISTORY, items("abc")).parts) == {"A"}
    for nothing in ([], [(table(A), 0.0)]):
        with pytest.raises(ConfigError, match="at least one part"):
            FusedRanker(nothing)


def test_events_tokens_origin_and_preparation_are_those_of_the_parts():
    paid = PaidToy(lambda seen, name: ord(name), name="A", events={"text_cut": 2}, settings={"depth": 1})
    paid.origin = {"model": "m"}
    plain = table(B, name="B", events={"text_cut": 1})
    fused = FusedRanker([(paid, 1.0), (plain, 2.0)])
    said = rank(fused, HISTORY, items("abc")).provenance
    assert said.events["text_cut"] == 3
    assert said.settings == {"A": {"weight": 1.0, "depth": 1}, "B": {"weight": 2.0}}
    assert (said.mode, said.model, said.tokens_evaluated, said.tokens_reused) == ("fused", "m", 30, 1)
    fused.prepare(items("ab"))
    assert paid.prepared == plain.prepared == [["a", "b"]]


def test_a_negative_weight_turns_a_part_round():
    fused = FusedRanker([(Toy(lambda seen, name: ord(name), name="A"), -1.0)])
    assert rank(fused, HISTORY, items("bca")).ids == ("a", "b", "c")


def test_a_new_item_is_no_unloved_one():
    """What logs do not know is in the middle of a part that rests on them; what was disliked is not."""
    rows = [Interaction(f"u{n}", item, 5.0, n) for n, item in enumerate("aaab")]
    rows += [Interaction("u9", "a", 5.0, 8), Interaction("u9", "c", 1.0, 9)]  # the latter met, not liked
    facts = {"name": "shop", "domain": "shopping", "cleaning": Cleaning(preference=3)}
    shop = Dataset.from_rows(items("abcd"), rows, **facts)
    popular = ScorerRanker(PopularityScorer(shop), shop)
    assert popular.score(HISTORY, items("abcd")).parts["popularity"].tolist() == pytest.approx(
        [np.log(5), np.log(2), 0.0, 0.0]
    )
    scored = FusedRanker([(popular, 1.0)]).score(HISTORY, items("abcd"))
    assert scored.parts["popularity"][3] == pytest.approx((np.log(5) + np.log(2)) / 3)
    assert combine(scored)[3] == pytest.approx(0, abs=1e-9)
    assert scored.events == {"not_in_logs": 1}
    assert scored.stand_ins["popularity"].tolist() == [False, False, False, True]
    alone = FusedRanker([(popular, 1.0)]).score(HISTORY, items("d"))  # as when one item is to be explained
    assert alone.stand_ins["popularity"].tolist() == [True]
    fused = FusedRanker([(popular, 1.0), (table(dict(zip("abcd", range(4), strict=True)), name="text"), 3.0)])
    assert rank(fused, HISTORY, items("abcd")).ids[0] == "d"


def test_a_scorer_alone_says_what_it_has():
    shop = Dataset.from_rows(items("ab"), [Interaction("u", "a", 5.0, 1)], name="shop", domain="shopping")
    assert rank(ScorerRanker(PopularityScorer(shop), shop), HISTORY, items("ba")).ids == ("a", "b")


def test_parts_of_one_model_count_its_tokens_once():
    first, second = PaidToy(lambda seen, name: len(name)), PaidToy(lambda seen, name: ord(name), name="other")
    second.usage = first.usage
    before = first.usage.evaluated
    fused = FusedRanker([(first, 1.0), (second, 1.0)])
    said = rank(fused, HISTORY, items("abc")).provenance
    assert said.tokens_evaluated == first.usage.evaluated - before == 60


def test_parts_that_disagree_about_two_leave_them_tied():
    """Their z-scores cancel; what is left of that in the last bits decides nothing."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        low, high = sorted(rng.normal(size=2))
        ranking = rank(fuse(("A", {"a": low, "b": high}, 1.0), ("B", {"a": 3 * high, "b": 3 * low}, 1.0)),
                       HISTORY, items("ab"))  # fmt: skip
        assert ranking.provenance.events["all_tied"] == 1
        assert {line.score for line in ranking.recommendations} == {0.0}


@pytest.mark.parametrize("weight", [1e-11, 1.0, 1e11])
def test_what_counts_as_rounding_goes_with_the_weights(weight):
    ranking = rank(fuse(("A", A, weight), ("B", B, 2 * weight)), HISTORY, items("abc"))
    assert ranking.ids == ("c", "b", "a")
    assert "tied" not in ranking.provenance.events


def test_a_popularity_inside_a_part_says_nothing_of_what_nobody_has_met():
    """An encoder in its own domain has one: a new item is not an unloved one there either."""

    class Known(Toy):
        def informed(self, candidates):
            return np.array([item.item_id != "c" for item in candidates])

    parts = {"A": [1.0, 2.0, 3.0], "popularity": [4.0, 6.0, 0.0]}
    known = Known(lambda seen, name: 0.0, name="A", parts=parts, weights={"A": 1.0, "popularity": 2.0})
    scored = FusedRanker([(known, 1.0)]).score(HISTORY, items("abc"))
    assert scored.parts["A"].tolist() == [9.0, 14.0, 13.0]
    assert scored.events["not_in_logs"] == 1
    assert not scored.stand_ins  # what the model says of it has reasons
