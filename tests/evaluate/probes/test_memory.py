"""A model that remembers is caught, one that knows nothing or only likes a text is at chance."""

import numpy as np
import pytest

from llmrec_prompt.backends.fake import FakeBackend
from llmrec_prompt.errors import DataError, Unsupported
from llmrec_prompt.evaluate.probes.memory import probe_exchange, probe_titles

TITLES = {f"i{n}": f"the first{n} word{n} and last{n}" for n in range(30)} | {"alone": "Alien"}
PROMPTS = {f"u{n}": f"history of {n}\n" for n in range(30)}
NEXTS = {f"u{n}": f"item {n}\n" for n in range(30)}


def remembers(prompt, text):
    """Knows which end belongs to which start, and which item to which history."""
    number = text.split()[-1].removeprefix("last")
    return -1.0 if number in prompt.replace("first", " ").split() else -5.0


def taste_alone(prompt, text):
    """Likes some texts and some prompts more than others, whatever stands beside them."""
    return -float(len(text) + 3 * text.count("2")) - 2.0 * prompt.count("1")


def test_a_model_that_remembers_titles_is_caught():
    found = probe_titles(FakeBackend(remembers), TITLES)
    assert set(found.wins.values()) == {1.0}
    summary = found.summary()
    assert (summary["asked"], summary["left_out"], summary["gain"]) == (30, 1, pytest.approx(4))
    assert summary["wins"]["mean"] == 1
    assert summary["p"] < 0.001


def test_a_model_that_remembers_users_is_caught():
    summary = probe_exchange(FakeBackend(remembers), PROMPTS, NEXTS).summary()
    assert summary["wins"]["mean"] == 1
    assert summary["gain"] == pytest.approx(8)
    assert summary["p"] < 0.001


@pytest.mark.parametrize("name", ["random", "constant"])
def test_a_model_that_knows_nothing_is_at_chance(name):
    for found in (
        probe_titles(FakeBackend.from_name(name), TITLES),
        probe_exchange(FakeBackend.from_name(name), PROMPTS, NEXTS),
    ):
        summary = found.summary()
        assert summary["p"] > 0.05
        assert summary["wins"]["low"] <= 0.5 <= summary["wins"]["high"]


def test_liking_a_text_or_a_history_cancels_out_in_an_exchange():
    found = probe_exchange(FakeBackend(taste_alone), PROMPTS, NEXTS)
    assert set(found.wins.values()) == {0.5}
    assert set(found.gain.values()) == {0.0}


def test_each_user_is_in_one_pair_and_the_odd_one_is_left_out():
    asked = []

    def note(prompt, text):
        asked.append((prompt, text))
        return -1.0

    found = probe_exchange(FakeBackend(note), {u: f"p{u}" for u in "abc"}, {u: f"n{u}" for u in "abc"})
    assert (found.summary()["asked"], found.left_out) == (1, 1)
    (first, second) = dict.fromkeys(prompt[1] for prompt, _ in asked)
    assert set(asked) == {(f"p{one}", f"n{other}") for one in (first, second) for other in (first, second)}


def test_next_items_that_are_the_same_win_half():
    found = probe_exchange(FakeBackend.from_name("random"), PROMPTS, dict.fromkeys(NEXTS, "the same\n"))
    assert set(found.wins.values()) == {0.5}


def test_chance_looks_like_memory_as_seldom_as_a_p_value_says():
    """Every history and item gets its own noise, which is all that a model that knows nothing has."""
    alarms, covered, times = 0, 0, 400
    for seed in range(times):
        noise = np.random.default_rng(seed).normal(size=(30, 30))

        def score(prompt, text, noise=noise):
            return float(noise[int(prompt.split()[-1]), int(text.split()[-1])])

        summary = probe_exchange(FakeBackend(score), PROMPTS, NEXTS).summary()
        alarms += summary["p"] < 0.05
        covered += summary["wins"]["low"] <= 0.5 <= summary["wins"]["high"]
    assert alarms / times < 0.07
    assert covered / times > 0.88  # the bootstrap is a little narrow with 15 pairs


def test_the_end_is_scored_after_own_and_other_starts():
    asked = []

    def remember(prompt, text):
        asked.append((prompt, text))
        return -1.0

    probe_titles(FakeBackend(remember), {"a": "New York", "b": "Old Rome", "c": "Rome"}, shuffles=9)
    assert sorted(asked) == [
        (f"Title:\n{start}", end) for start in ("New", "Old") for end in (" Rome", " York")
    ]


def test_the_same_seed_asks_the_same():
    def gains(seed):
        return probe_exchange(FakeBackend.from_name("random"), PROMPTS, NEXTS, seed=seed).gain

    assert gains(1) == gains(1) != gains(2)


def test_what_cannot_be_probed():
    backend = FakeBackend.from_name("constant")
    with pytest.raises(DataError, match="1 titles with 4 partners"):
        probe_titles(backend, {"a": "New York", "b": "Rome"})
    with pytest.raises(DataError, match="User 'u1' has a prompt or a next item only"):
        probe_exchange(backend, {"u0": "p", "u1": "p"}, {"u0": "n"})
    with pytest.raises(DataError, match="1 users have nobody to exchange with"):
        probe_exchange(backend, {"u0": "p"}, {"u0": "n"})
    mute = FakeBackend.from_name("constant")
    mute.info = type(mute.info)("fake:mute", "", "fake", 10, 1, frozenset({"embed"}))
    with pytest.raises(Unsupported, match="The title probe asks for 'score'"):
        probe_titles(mute, TITLES)
