import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec_prompt.scorers.sequences import ENOUGH, NO_TARGET, cut, pad, read_sequences

from ..data.strategies import data_sets
from .small import dataset


def many(users: int):
    return dataset("a, b, c", "\n".join(f"u{n} a b" for n in range(users)))


@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 5))
def test_windows_hold_every_item_once_and_in_order(count, length, seed):
    history = np.arange(count)
    windows = cut(history, length, np.random.default_rng(seed))
    assert np.concatenate(windows).tolist() == history.tolist()
    assert all(0 < len(window) <= length + 1 for window in windows)
    assert all(len(window) == length + 1 for window in windows[1:-1])


def test_long_histories_are_cut_elsewhere_each_time():
    rng = np.random.default_rng(0)
    firsts = {len(cut(np.arange(30), 4, rng)[0]) for _ in range(100)}
    assert firsts == {1, 2, 3, 4, 5}


def test_padding_is_on_the_right_and_answers_nothing():
    inputs, targets = pad([np.array([4, 5, 6]), np.array([7])], begin=9)
    assert inputs.tolist() == [[9, 4, 5], [9, 9, 9]]
    assert targets.tolist() == [[4, 5, 6], [7, NO_TARGET, NO_TARGET]]


@given(data_sets())
def test_every_user_is_trained_on_or_validates(data):
    found = read_sequences(data, share=0.1, seed=0)
    read = sorted(found.vocabulary[h].tolist() for h in (*found.trained, *found.validation))
    rows = [[data.index[i.item_id] for i in data.history_items(user)] for user in data.users]
    assert read == sorted(rows)
    assert found.vocabulary.tolist() == np.flatnonzero(data.popularity()).tolist()
    assert found.counts.sum() == sum(map(len, found.trained))


@pytest.mark.parametrize(
    ("users", "validation"), [(0, 0), (1, 0), (3, 0), (4, 1), (16, 4), (64, 10), (200, 20), (6000, ENOUGH)]
)
def test_how_many_users_validate(users, validation):
    found = read_sequences(many(users), share=0.1, seed=0)
    assert len(found.validation) == validation
    assert len(found.trained) == users - validation


def test_who_validates_depends_on_the_seed_alone():
    data = dataset("a, b, c, d", "\n".join(f"u{n} " + " ".join("abcd"[: 2 + n % 3]) for n in range(40)))
    first, again, other = (read_sequences(data, share=0.3, seed=seed) for seed in (0, 0, 1))
    assert [h.tolist() for h in first.validation] == [h.tolist() for h in again.validation]
    assert [h.tolist() for h in first.validation] != [h.tolist() for h in other.validation]
