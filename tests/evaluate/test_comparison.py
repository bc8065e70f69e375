"""Users are matched by id, nobody is dropped in silence, and words say what the numbers say."""

import json

import numpy as np
import pytest

from llmrec_prompt.errors import ConfigError, DataError, UnknownName
from llmrec_prompt.evaluate.comparison import against_baseline, compare_runs, verdict
from llmrec_prompt.evaluate.statistics import bootstrap_interval, holm, paired_test

USERS = [f"u{n}" for n in range(60)]


def noisy(mean, seed):
    values = np.random.default_rng(seed).normal(mean, 0.1, len(USERS))
    return dict(zip(USERS, values.tolist(), strict=True))


A, B = noisy(0.5, 1), noisy(0.4, 2)


def test_users_are_matched_by_id_not_by_place():
    backwards = dict(reversed(B.items()))
    assert compare_runs(A, backwards) == compare_runs(A, B)
    ids = sorted(USERS)
    a, b = (np.array([side[user] for user in ids]) for side in (A, B))
    found = compare_runs(A, B)
    assert found.p == paired_test(a, b)
    assert found.difference == bootstrap_interval(a - b)
    assert found.mean_a - found.mean_b == pytest.approx(found.difference.mean)
    assert json.loads(json.dumps(found.as_dict()))["difference"]["low"] == found.difference.low


def test_users_of_one_side_are_counted_and_said():
    few = {user: B[user] for user in USERS[5:]} | {"stranger": 9.0}
    found = compare_runs(A, few)
    assert (found.users, found.only_a, found.only_b) == (55, 5, 1)
    assert found.mean_b < 1  # the stranger is in no mean
    assert verdict(found, a="new", b="old").endswith("Not compared: 5 only in new and 1 only in old.")


def test_swapping_the_sides_turns_the_sign():
    there, back = compare_runs(A, B), compare_runs(B, A)
    assert there.difference.mean == pytest.approx(-back.difference.mean)
    assert there.p == pytest.approx(back.p, abs=0.001)
    assert there.detectable == pytest.approx(back.detectable)


def test_words_for_a_difference_say_which_is_better():
    assert verdict(compare_runs(A, B), a="x", b="y").startswith(
        "x is better than y over 60 users (x - y = +0."
    )
    assert verdict(compare_runs(B, A), a="x", b="y").startswith(
        "y is better than x over 60 users (x - y = -0."
    )


def test_words_for_no_evidence_give_the_limit():
    found = compare_runs(A, noisy(0.5, 3))
    text = verdict(found)
    assert text.startswith("Too close to call: with 60 users a difference under 0.0")
    assert f"{found.detectable:.3f} cannot be told from chance" in text


def test_a_corrected_p_decides_where_it_is_given():
    assert verdict(compare_runs(A, B), p=0.2).startswith("Too close to call")


def test_words_for_equal_runs():
    assert verdict(compare_runs(A, A)) == "No difference: A and B are equal for each of the 60 users."


def test_runs_without_common_users_are_refused():
    with pytest.raises(DataError, match=r"0 users are on both sides \(60 on one, 1 on the other\)"):
        compare_runs(A, {"stranger": 1.0})
    with pytest.raises(DataError, match="not finite"):
        compare_runs({"u1": 1.0, "u2": float("nan")}, {"u1": 1.0, "u2": 1.0})


def test_all_rows_are_corrected_together():
    rows = {"x": A, "base": B, "y": noisy(0.42, 4), "z": noisy(0.45, 5)}
    found = against_baseline(rows, "base")
    assert list(found) == ["x", "y", "z"]
    alone = [{"p": compare_runs(rows[name], B).p} for name in found]
    assert [t["p_holm"] for t in found.values()] == [t["p_holm"] for t in holm(alone)]
    assert found["x"]["mean_b"] == pytest.approx(np.mean(list(B.values())))


def test_a_baseline_that_is_not_there():
    with pytest.raises(UnknownName, match=r"Unknown baseline 'popular'.*popularity"):
        against_baseline({"popularity": A, "new": B}, "popular")
    with pytest.raises(ConfigError, match="compared with nothing"):
        against_baseline({"popularity": A}, "popularity")
