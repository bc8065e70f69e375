import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from llmrec_prompt.data import (
    COLD_LENGTHS,
    Dataset,
    cold_domain,
    cold_item,
    cold_user,
    global_time,
    leave_last_out,
)
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


@settings(suppress_health_check=[HealthCheck.filter_too_much])  # few have so many likes after one
@given(data_sets(), st.integers(0, 3), st.integers(0, 99))
def test_what_came_after_an_earlier_target_is_unknown_and_no_negative(data, back, seed):
    assume(any(len(data.history(user)) > back + 1 for user in data.users))
    split = leave_last_out(data, users=None, seed=seed, back=back)
    assert len(split.cases) == sum(len(data.history(user)) > back + 1 for user in data.users)
    for case in split.cases:
        liked = [row.item_id for row in data.history(case.user_id)]
        assert case.target == liked[len(liked) - 1 - back]
        assert case.history == tuple(liked[: len(liked) - 1 - back])
        assert tuple(row.item_id for row in split.train.history(case.user_id)) == case.history
        assert not split.train.consumed(case.user_id) & {*liked[len(liked) - 1 - back :]}
        assert split.known.consumed(case.user_id) >= {*liked}


def test_a_target_before_the_first_like_cannot_be_meant():
    with pytest.raises(ConfigError, match="back is -1"):
        leave_last_out(crowd(2), users=None, seed=0, back=-1)
    with pytest.raises(DataError, match="has 4 liked items"):
        leave_last_out(crowd(2), users=None, seed=0, back=2)


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
        "No user of crowd has 4 liked items (of 2 users); use a protocol that needs fewer "
        "(leave-last-out), or load more interactions."
    )


@pytest.mark.parametrize(("users", "min_history"), [(0, 1), (3, -1)])
def test_bad_settings(users, min_history):
    with pytest.raises(ConfigError) as caught:
        leave_last_out(crowd(2), users=users, seed=0, min_history=min_history)
    assert str(caught.value) == (
        f"users is {users} and min_history is {min_history}; give users >= 1, min_history >= 0."
    )


TIMED = """
a i0 - 1
a i1 - 2
a i2 - 8
a i3 - 9
b i1 - 3
b i4 - 7
c i0 - 4
c i2 - -
c i3 - 5
d i4 - 9
e i0 - 6
"""


def timed():
    return Dataset.from_rows(catalogue(6), logs(TIMED), name="timed")


def test_one_cut_in_time_for_all():
    split = global_time(timed(), users=None, seed=0, before=0.6)
    assert split.notes == {"cut": 7.0, "undated_left_out": 1}
    found = {case.user_id: (case.history, case.target) for case in split.cases}
    assert found == {"a": (("i0", "i1"), "i2"), "b": (("i1",), "i4")}
    assert split.eligible == 2
    assert split.train.times().max() < 7
    assert split.train.consumed("c") == {"i0", "i3"}
    assert split.train.consumed("a") == {"i0", "i1"}
    assert split.known.consumed("a") == {"i0", "i1", "i2", "i3"}


@given(data_sets(), st.floats(0.05, 0.95), st.integers(0, 9))
def test_nothing_of_the_future_is_known(data, before, seed):
    try:
        split = global_time(data, users=None, seed=seed, before=before)
    except DataError:
        return
    cut = split.notes["cut"]
    assert all(row.timestamp < cut for row in split.train.interactions)
    assert (split.train.known_rows().times < cut).all()
    for case in split.cases:
        dated = [row for row in data.history(case.user_id) if row.timestamp is not None]
        assert list(case.history) == [row.item_id for row in dated if row.timestamp < cut]
        assert case.target == next(row.item_id for row in dated if row.timestamp >= cut)
        assert case.target not in split.train.consumed(case.user_id)


def test_time_needs_times_on_both_sides():
    with pytest.raises(
        DataError, match=r"^rows has no times, so it cannot be cut in time\. Use leave-last-out\.$"
    ):
        global_time(Dataset.from_rows(catalogue(2), logs("a i0 - -\na i1 - -")), users=None, seed=0)
    with pytest.raises(
        DataError, match=r"^No user of rows likes something both before and after the cut at 2 "
    ):
        global_time(
            Dataset.from_rows(catalogue(2), logs("a i0 - 1\nb i1 - 2")), users=None, seed=0, before=0.5
        )
    with pytest.raises(ConfigError, match=r"^before is 1; give a share between 0 and 1\.$"):
        global_time(timed(), users=None, seed=0, before=1)


def test_cold_users_are_in_no_log():
    data = crowd(30, items=8)
    warm = leave_last_out(data, users=10, seed=2, min_history=max(COLD_LENGTHS))
    split = cold_user(warm)
    assert split.cases == warm.cases
    assert set(split.train.users) == set(data.users) - {case.user_id for case in split.cases}
    assert split.train.popularity()[0] == 20
    with pytest.raises(
        DataError, match=r"^All 30 users of crowd would be cold and nobody left: ask fewer\.$"
    ):
        cold_user(leave_last_out(data, users=None, seed=2))


def test_a_cold_domain_has_a_catalogue_and_no_log():
    warm = leave_last_out(crowd(30), users=10, seed=2)
    split = cold_domain(warm)
    assert (split.cases, split.train.items) == (warm.cases, warm.train.items)
    assert (split.train.users, split.train.has_logs) == ((), False)
    assert split.drawn_from is warm.train


@given(data_sets(min_items=5), st.integers(0, 9))
def test_nobody_met_a_cold_item(data, seed):
    try:
        split = cold_item(data, users=None, seed=seed, share=0.4)
    except DataError:
        return
    popularity = split.train.popularity()
    cold = {item.item_id for item, count in zip(data.items, popularity, strict=True) if not count}
    for case in split.cases:
        liked = [row.item_id for row in data.history(case.user_id)]
        place = liked.index(case.target)
        assert popularity[data.index[case.target]] == 0
        assert case.history
        assert not {*case.history} & cold
        assert list(case.history) == [i for i in liked[:place] if i not in cold]
        assert not any(case.target in split.train.consumed(user) for user in data.users)


def test_cold_items_are_the_same_however_many_are_asked():
    data = crowd(40, items=10)
    few, more = (cold_item(data, users=n, seed=4) for n in (5, 30))
    assert more.cases[:5] == few.cases
    assert more.train.fingerprint == few.train.fingerprint
    assert few.notes == {"cold_items": 2}
    assert cold_item(data, users=5, seed=5).train.fingerprint != few.train.fingerprint


def test_no_cold_item_after_a_warm_one():
    with pytest.raises(
        DataError, match=r"^No user of rows likes one of the 1 cold items after a warm one\.$"
    ):
        cold_item(Dataset.from_rows(catalogue(1), logs("a i0 - 1")), users=None, seed=0)
    with pytest.raises(ConfigError, match=r"^share is 0; give a share between 0 and 1\.$"):
        cold_item(crowd(2), users=None, seed=0, share=0)


@pytest.mark.parametrize("protocol", [leave_last_out, global_time, cold_item])
def test_only_some_users_may_be_asked(protocol):
    data = crowd(40, items=10)
    everyone = [case.user_id for case in protocol(data, users=None, seed=1).cases]
    assert len(everyone) > 8
    allowed = set(everyone[::2])
    found = protocol(data, users=3, seed=1, among=allowed)
    assert [case.user_id for case in found.cases] == [user for user in everyone if user in allowed][:3]
