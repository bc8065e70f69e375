import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec_prompt.errors import BackendError, DataError
from llmrec_prompt.rank import Request, combine, rank
from llmrec_prompt.rank.order import softmax
from llmrec_prompt.types import Scored

from .toys import PaidToy, Toy, items, table

HISTORY = items("xy")
CONSTANT = Toy(lambda seen, name: 1.5)
scores = st.lists(st.floats(-700, 700) | st.sampled_from([0.0, -0.0, 1.0]), min_size=1, max_size=12)


@given(scores)
def test_a_ranking_is_a_full_order(values):
    names = [f"i{n}" for n in range(len(values))]
    given_ = dict(zip(names, values, strict=True))
    ranking = rank(table(given_), HISTORY, items(names))
    lines = ranking.recommendations
    assert sorted(ranking.ids) == sorted(names)
    assert [line.rank for line in lines] == list(range(1, len(values) + 1))
    assert [line.score for line in lines] == sorted(values, reverse=True)
    assert all(line.score == given_[line.item_id] for line in lines)
    assert all(line.title == line.item_id.upper() for line in lines)
    assert sum(line.probability for line in lines) == pytest.approx(1)
    shares = [line.probability for line in lines]
    assert shares == sorted(shares, reverse=True)


@given(scores, st.integers(1, 12), st.integers(0, 3))
def test_the_first_of_a_ranking_are_those_of_the_whole(values, most, seed):
    names = [f"i{n}" for n in range(len(values))]
    ranker, request = table(dict(zip(names, values, strict=True))), Request(seed=seed)
    whole = rank(ranker, HISTORY, items(names), request)
    first = rank(ranker, HISTORY, items(names), request, most=most)
    assert first.recommendations == whole.recommendations[:most]
    assert first.provenance.events == whole.provenance.events


@given(st.permutations("abcdefg"), st.integers(0, 3))
def test_the_order_of_candidates_carries_no_meaning(order, seed):
    values = {"a": 1.0, "b": 1.0, "c": 2.0, "d": 0.0, "e": 1.0, "f": 2.0, "g": -1.0}
    request = Request(seed=seed)
    expected = rank(table(values), HISTORY, items("abcdefg"), request)
    found = rank(table(values), HISTORY, items(order), request)
    assert found.ids == expected.ids
    assert found.provenance.events == {"tied": 5}
    assert [line.probability for line in found.recommendations] == pytest.approx(
        [line.probability for line in expected.recommendations]
    )


def test_probabilities_by_hand():
    lines = rank(table({"a": 0.0, "b": np.log(3.0)}), HISTORY, items("ab")).recommendations
    assert [line.probability for line in lines] == pytest.approx([0.75, 0.25])
    assert softmax(np.array([1000.0, 0.0])).tolist() == [1.0, 0.0]  # no overflow
    assert softmax(np.array([-1000.0, -1000.0])).tolist() == [0.5, 0.5]


def test_ties_are_counted():
    def events(**values):
        return dict(rank(table(values), HISTORY, items(values)).provenance.events)

    assert events(a=1, b=2, c=3) == {}
    assert events(a=1, b=1, c=3, d=0) == {"tied": 2}
    assert events(a=1, b=1, c=3, d=3) == {"tied": 4}
    assert events(a=1, b=1) == {"tied": 2, "all_tied": 1}
    assert events(a=1) == {}


def test_a_tied_candidate_stands_at_every_place_about_as_often():
    places = Counter()
    chance = random.Random(1)
    for n in range(2000):
        history = items([f"h{chance.randrange(10**9)}" for _ in range(1 + n % 3)])
        places[rank(CONSTANT, history, items("abcde")).ids.index("c")] += 1
    # Chi-square with 4 degrees of freedom: 18.5 is the 0.1 % point.
    assert sum((places[place] - 400) ** 2 / 400 for place in range(5)) < 18.5


def test_ties_depend_on_history_and_seed_and_on_nothing_else():
    candidates = items("abcdefghij")
    base = rank(CONSTANT, HISTORY, candidates).ids
    assert rank(CONSTANT, HISTORY, candidates, Request(user="u", domain="d")).ids == base
    assert rank(CONSTANT, HISTORY, candidates, Request(seed=1)).ids != base
    assert rank(CONSTANT, items("yx"), candidates).ids != base
    fewer = rank(CONSTANT, HISTORY, candidates[:5]).ids
    assert [i for i in base if i in fewer] == list(fewer)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_score_that_is_no_number_is_an_error(bad):
    with pytest.raises(BackendError, match="1 of 3 scores are not finite"):
        rank(table({"a": 1.0, "b": bad, "c": 0.0}), HISTORY, items("abc"))


def test_candidates_are_checked_before_anything_is_scored():
    def never(seen, name):
        raise AssertionError("scored")

    with pytest.raises(DataError, match="no candidates"):
        rank(Toy(never), HISTORY, [])
    with pytest.raises(DataError, match="'b' is given more than once"):
        rank(Toy(never), HISTORY, items("abcb"))


def test_combine_is_offset_and_weighted_sum():
    scored = Scored({"x": [1.0, 2.0], "y": [10.0, 30.0], "z": [9.0, 9.0]}, {"x": 2.0, "y": -0.5}, offset=1.0)
    assert combine(scored).tolist() == [-2.0, -10.0]


def test_a_ranking_says_where_it_comes_from():
    toy = PaidToy(
        lambda seen, name: len(name), name="paid", events={"text_cut": 2, "odd": 1}, settings={"depth": 3}
    )
    toy.origin = {"model": "m", "model_hash": "h", "adapter": "a", "template_fingerprint": "f"}
    request = Request("me", "shop", 7, {"text_cut": 1, "typed_as_is": 4})
    ranking = rank(toy, HISTORY, items(["a", "bb", "cc"]), request)
    said = ranking.provenance
    assert (ranking.user, ranking.domain) == ("me", "shop")
    assert (said.mode, said.domain, said.seed, said.candidates) == ("paid", "shop", 7, 3)
    assert (said.model, said.model_hash, said.adapter, said.template_fingerprint) == ("m", "h", "a", "f")
    assert (said.weights, said.settings) == ({"paid": 1.0}, {"depth": 3})
    assert said.events == {"odd": 1, "text_cut": 3, "tied": 2, "typed_as_is": 4}
    assert (said.tokens_evaluated, said.tokens_reused) == (30, 1)
    assert 0 <= said.seconds < 5


def test_without_a_model_no_tokens_are_counted():
    said = rank(CONSTANT, HISTORY, items("a")).provenance
    assert (said.tokens_evaluated, said.tokens_reused) == (0, 0)
