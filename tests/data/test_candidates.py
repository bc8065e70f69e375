from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llmrec_prompt.data import (
    Case,
    Dataset,
    leave_last_out,
    read_candidates_file,
    sample_candidates,
    with_target,
)
from llmrec_prompt.errors import ConfigError, DataError

from .strategies import catalogue, data_sets, logs, write_lines


def crowd(users=400, items=40):
    text = "\n".join(f"u{u} i{(u * k) % items} - {k}" for u in range(users) for k in (1, 3, 7, 11))
    return Dataset.from_rows(catalogue(items), logs(text), name="crowd")


@given(data_sets(min_items=4), st.sampled_from(["uniform", "popular"]), st.integers(0, 50), st.integers(1, 4))
def test_target_in_and_negatives_unseen(data, kind, seed, n):
    assume(data.has_logs)
    split = leave_last_out(data, users=None, seed=seed, min_history=0)
    for case in split.cases:
        try:
            ids = sample_candidates(split, case, n=n, kind=kind, seed=seed)
        except DataError:
            continue
        assert len(ids) == len(set(ids)) == n
        assert case.target in ids
        assert not (set(ids) - {case.target}) & data.consumed(case.user_id)
        assert ids == sample_candidates(split, case, n=n, kind=kind, seed=seed)
        if kind == "popular":
            assert all(split.train.popularity()[data.index[i]] > 0 for i in set(ids) - {case.target})


def test_the_targets_place_is_about_uniform():
    split = leave_last_out(crowd(), users=None, seed=3)
    for kind in ("uniform", "popular"):
        lists = [(sample_candidates(split, case, n=10, kind=kind, seed=3), case) for case in split.cases]
        places = Counter(ids.index(case.target) for ids, case in lists)
        expected = len(lists) / 10
        # Chi-square with 9 degrees of freedom: 27.9 is the 0.1% point.
        assert sum((places[place] - expected) ** 2 / expected for place in range(10)) < 27.9


def test_popular_draws_follow_popularity():
    text = "\n".join(f"u{u} i{item} - -" for item, fans in enumerate((0, 10, 30)) for u in range(fans))
    data = Dataset.from_rows(catalogue(4), logs(text + "\nme i3 - -"))
    drawn = Counter(
        next(
            i for i in sample_candidates(data, Case("me", (), "i3"), n=2, kind="popular", seed=s) if i != "i3"
        )
        for s in range(2000)
    )
    assert set(drawn) == {"i1", "i2"}
    assert drawn["i2"] / 2000 == pytest.approx(0.75, abs=0.04)


def test_a_bare_data_set_never_yields_the_rest_of_the_history():
    data = crowd(20)
    case = leave_last_out(data, users=1, seed=0).cases[0]
    ids = sample_candidates(data, case, n=20, seed=1)
    assert set(ids) & data.consumed(case.user_id) == {case.target}


def test_seed_user_and_kind_change_the_draw():
    split = leave_last_out(crowd(), users=2, seed=0)
    first, second = split.cases
    base = sample_candidates(split, first, seed=1)
    assert sample_candidates(split, first, seed=2) != base
    assert sample_candidates(split, second, seed=1) != base
    assert sample_candidates(split, first, seed=1, kind="popular") != base


def test_too_small_a_catalogue():
    data = Dataset.from_rows(catalogue(4), logs("a i0 - 1\na i1 - 2\nb i2 - 1"), name="tiny")
    case = Case("a", ("i0",), "i1")
    with pytest.raises(DataError) as caught:
        sample_candidates(data, case, n=4, seed=0)
    assert str(caught.value) == ("User 'a' has 2 unseen items in tiny; 4 candidates need 3: ask for fewer.")
    with pytest.raises(
        DataError, match="has 1 unseen items that somebody liked in tiny; 3 candidates need 2"
    ):
        sample_candidates(data, case, n=3, kind="popular", seed=0)


def test_bad_settings():
    case = Case("u1", (), "i1")
    with pytest.raises(ConfigError, match=r"^n is 0 and kind is 'uniform'; give n >= 1 and 'uniform' or"):
        sample_candidates(crowd(2), case, n=0, seed=0)
    with pytest.raises(ConfigError, match="kind is 'nearest'"):
        sample_candidates(crowd(2), case, kind="nearest", seed=0)


def test_both_file_forms(tmp_path):
    lines = ["u1\ti1 i2  i3", "", '{"user": 7, "candidates": ["i0", "i1"]}']
    found = read_candidates_file(write_lines(tmp_path / "c.tsv", lines, "utf-8-sig"), crowd(2))
    assert found == {"u1": ("i1", "i2", "i3"), "7": ("i0", "i1")}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("u2\ti1 i99", "unknown item 'i99' for data set 'crowd'; correct the line."),
        ("u2\ti1 i1", "item 'i1' is listed twice; correct the line."),
        ("u1\ti1", "user 'u1' has a line already; keep one of them."),
        ("u2 i1 i2", "found 'u2 i1 i2'; expected user<TAB>id id id."),
        ("u2\t ", "found 'u2'; expected user<TAB>id id id."),
        ('{"user": "u2"}', 'expected JSON with "user" and "candidates"; found \'{"user": "u2"}\'.'),
        ('{"user"', 'expected JSON with "user" and "candidates"; found \'{"user"\'.'),
        ('{"user": "u2", "candidates": "i1"}', "\"candidates\" is 'i1'; expected a list of item ids."),
    ],
)
def test_bad_lines_are_named(tmp_path, line, message):
    path = write_lines(tmp_path / "c.tsv", ["u1\ti0", line])
    with pytest.raises(DataError) as caught:
        read_candidates_file(path, crowd(2))
    assert str(caught.value) == f"{path}, line 2: {message}"


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="cannot be read: No such file or directory; check the file"):
        read_candidates_file(tmp_path / "none", crowd(2))


def test_the_target_is_added_once_at_a_seeded_place():
    ids = tuple(f"i{n}" for n in range(9))
    cases = [Case(f"u{n}", (), "t") for n in range(300)]
    places = Counter(with_target(ids, case, seed=1).index("t") for case in cases)
    assert set(places) == set(range(10))
    assert with_target(ids, cases[0], seed=1) == with_target(ids, cases[0], seed=1)
    assert with_target(ids, Case("u", (), "i3")) == ids
