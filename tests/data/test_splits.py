import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llmrec_prompt.data import Dataset, leave_last_out
from llmrec_prompt.errors import ConfigError, DataError

from .strategies import catalogue, data_sets, logs


def crowd(users, items=3):
    text = "\n".join(f"u{u} i{i} - {i}" for u in range(users) for i in range(items))
    return Dataset.from_rows(catalogue(items + 2), logs(text), name="crowd")


def test_the_target_is_the_last_liked_item():
    data = Dataset.from_rows(catalogue(3), logs("a i0 5 30\na i1 2 20\na i2 1 40"))
    case = leave_last_out(data, users=None, seed=1, min_history=0).cases[0]
    assert (case.history, case.target) == ((), "i0")


@given(data_sets(), st.integers(0, 3), st.integers(0, 99))
def test_targets_leave_train_and_histories(data, min_history, seed):
    assume(any(len(data.history(user)) > min_history for user in data.users))
    split = leave_last_out(data, users=None, seed=seed, min_history=min_history)
    assert split.eligible == len(split.cases)
    for case in split.cases:
        assert len(case.history) >= min_history
        assert case.target not in case.history
        assert [*case.history, case.target] == [row.item_id for row in data.history(case.user_id)]
        assert tuple(row.item_id for row in split.train.history(case.user_id)) == case.history
        assert case.target not in split.train.consumed(case.user_id)
    assert split.train.popularity().sum() == data.popularity().sum() - len(split.cases)


def test_asking_for_more_users_keeps_the_earlier_ones():
    data = crowd(30)
    few, more = (leave_last_out(data, users=n, seed=7).cases for n in (5, 20))
    assert [c.user_id for c in more[:5]] == [c.user_id for c in few]
    assert leave_last_out(data, users=5, seed=7).cases == few
    assert [c.user_id for c in leave_last_out(data, users=5, seed=8).cases] != [c.user_id for c in few]


def test_a_users_place_depends_on_nobody_else():
    everyone = [c.user_id for c in leave_last_out(crowd(30), users=None, seed=7).cases]
    half = [c.user_id for c in leave_last_out(crowd(15), users=None, seed=7).cases]
    assert half == [user for user in everyone if user in half]


def test_fewer_eligible_than_asked_takes_all():
    split = leave_last_out(crowd(4), users=10, seed=0)
    assert len(split.cases) == split.eligible == 4


def test_nobody_eligible():
    with pytest.raises(DataError) as caught:
        leave_last_out(crowd(2), users=None, seed=0, min_history=3)
    assert str(caught.value) == (
        "No user of crowd has 4 liked items (of 2 users); lower min_history or load interactions."
    )


@pytest.mark.parametrize(("users", "min_history"), [(0, 1), (3, -1)])
def test_bad_settings(users, min_history):
    with pytest.raises(ConfigError) as caught:
        leave_last_out(crowd(2), users=users, seed=0, min_history=min_history)
    assert str(caught.value) == (
        f"users is {users} and min_history is {min_history}; give users >= 1, min_history >= 0."
    )
