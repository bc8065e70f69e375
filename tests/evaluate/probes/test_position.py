"""A ranker that reads the order is caught, one that does not is clean, noise is not accused."""

import random
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrec_prompt.errors import ConfigError, DataError
from llmrec_prompt.evaluate.exam import Question
from llmrec_prompt.evaluate.probes.position import kendall_tau, place_test, probe_position
from llmrec_prompt.types import Scored

from ...rank.toys import Toy, items, table

NAMES = list("abcdefghij")
QUESTIONS = [Question(f"u{n}", tuple(items("z")), tuple(items(NAMES))) for n in range(20)]
TARGETS = {f"u{n}": frozenset({NAMES[n % 10]}) for n in range(20)}


class ByPlace(Toy):
    """Scores by a candidate's place in the list and by its own worth."""

    def __init__(self, by_place, worth=lambda name: 0.0):
        super().__init__(None)
        self.by_place, self.worth = by_place, worth

    def score(self, history, candidates):
        values = [self.by_place(n) + self.worth(c.item_id) for n, c in enumerate(candidates)]
        return Scored({self.name: np.array(values)}, {self.name: 1.0})


class Moody(Toy):
    """Its scores depend on the whole list, but on no place more than on another."""

    def score(self, history, candidates):
        order = "".join(c.item_id for c in candidates)
        values = [random.Random(f"{order}{c.item_id}").random() for c in candidates]
        return Scored({self.name: np.array(values)}, {self.name: 1.0})


def probe(ranker, **options):
    return probe_position(ranker, QUESTIONS, TARGETS, **options).summary()


def test_an_unbiased_ranker_is_clean():
    found = probe(table({name: float(n) for n, name in enumerate(NAMES)}))
    assert (found["spread"], found["tau"], found["p"]) == (0.0, 1.0, 1.0)
    assert found["users"] == 20
    assert found["events"] == {}


def test_a_ranker_that_gives_back_its_input_is_caught():
    found = probe(ByPlace(lambda place: -place))
    assert list(found["mean_rank"].values()) == [1, 3, 5, 8, 10]
    assert found["p"] < 0.001
    assert abs(found["tau"]) < 0.2


def test_a_ranker_that_is_lost_in_the_middle_is_caught():
    found = probe(ByPlace(lambda place: abs(place - 4.5)))
    ranks = list(found["mean_rank"].values())
    assert ranks[2] > ranks[0]
    assert ranks[2] > ranks[-1]
    assert found["p"] < 0.001


def test_a_weak_bias_over_true_worth_is_caught():
    worth = {name: float(n) for n, name in enumerate(NAMES)}
    found = probe(ByPlace(lambda place: -0.3 * place, worth.get))
    assert found["p"] < 0.01
    assert 0.5 < found["tau"] < 1


def test_noise_without_bias_is_not_accused_but_disagrees_with_itself():
    found = probe(Moody(None))
    assert found["p"] > 0.05
    assert abs(found["tau"]) < 0.2


def test_ties_are_told():
    found = probe(table(dict.fromkeys(NAMES, 0.0)), shuffles=2)
    assert found["events"]["all_tied"] == 20 * (5 + 2)


def test_ranks_are_kept_per_user_and_place():
    found = probe_position(ByPlace(lambda place: -place), QUESTIONS[:2], TARGETS, places=(0, 1))
    assert dict(found.ranks) == {"u0": (1, 10), "u1": (1, 10)}
    assert set(found.tau) == {"u0", "u1"}


def test_of_several_targets_one_is_placed():
    found = probe_position(ByPlace(lambda place: -place), QUESTIONS[:1], {"u0": {"a", "b"}}, places=(0, 1))
    assert found.ranks["u0"] == (1, 10)


def test_what_cannot_be_probed():
    toy = table(dict.fromkeys(NAMES, 0.0))
    with pytest.raises(ConfigError, match="2 shuffles"):
        probe(toy, places=(0, 2), shuffles=2)
    with pytest.raises(DataError, match="no question"):
        probe_position(toy, [], {})
    with pytest.raises(DataError, match="Target 'q' of user 'u0' is not among 10"):
        probe_position(toy, QUESTIONS[:1], {"u0": "q"})


@settings(max_examples=15)
@given(st.permutations(NAMES), st.permutations(NAMES))
def test_tau_counts_pairs(a, b):
    signs = [
        np.sign(a.index(x) - a.index(y)) * np.sign(b.index(x) - b.index(y)) for x, y in combinations(NAMES, 2)
    ]
    assert kendall_tau(a, b) == pytest.approx(np.mean(signs))


def test_tau_of_other_ids_is_refused():
    for a, b in (("ab", "ac"), ("a", "a"), ("ab", "abc"), ("aa", "ab")):
        with pytest.raises(DataError, match="same ids"):
            kendall_tau(a, b)


def test_the_place_test_raises_false_alarms_as_rarely_as_it_says():
    rng = np.random.default_rng(0)
    alarms = [place_test(rng.random((15, 4)), permutations=100, seed=n) < 0.05 for n in range(200)]
    assert np.mean(alarms) == pytest.approx(0.05, abs=0.05)
