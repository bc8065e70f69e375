import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec_prompt.data import Cleaning, Dataset
from llmrec_prompt.data.assemble import read_rows
from llmrec_prompt.data.clean import (
    choose_rule,
    cleaning_of,
    drop_repeats,
    judge_scale,
    keep_core,
    keep_preferred,
)
from llmrec_prompt.data.readers import RawData
from llmrec_prompt.data.rows import Rows, read_numbers, read_times
from llmrec_prompt.errors import ConfigError, DataError

from .strategies import catalogue, keep_all, logs

cells = st.sampled_from(["u1", "u2", "u3", "", "  "])
item_cells = st.sampled_from(["i0", "i1", "i2", "nowhere", ""])
rating_cells = st.sampled_from(["", "1", "4.5", "0", "x", "inf", "nan"])
time_cells = st.sampled_from(["", "5", "-3.5", "2020-01-01", "soon"])
raw_rows = st.lists(st.tuples(cells, item_cells, rating_cells, time_cells), max_size=30)
# One sound row, since a file without any is an error.
SOUND = ("u9", "i2", "3", "1")


def raw_of(rows, malformed=0):
    columns = list(zip(*rows, strict=True)) or [()] * 4
    return RawData("t", catalogue(3), *columns, malformed=malformed)


def rows_of(text):
    raw = logs(text)
    users = {u: n for n, u in enumerate(dict.fromkeys(r.user_id for r in raw))}
    items = {u: n for n, u in enumerate(dict.fromkeys(r.item_id for r in raw))}
    return Rows(
        np.array([users[r.user_id] for r in raw], dtype=np.int32),
        np.array([items[r.item_id] for r in raw], dtype=np.int32),
        np.array([np.nan if r.rating is None else r.rating for r in raw]),
        np.array([np.nan if r.timestamp is None else r.timestamp for r in raw]),
    )


@given(raw_rows, st.integers(0, 3), st.sampled_from(["auto", "none", "user-mean", 2.0]), st.integers(0, 3))
def test_counts_add_up(rows, malformed, preference, k_core):
    raw = raw_of([*rows, SOUND], malformed)
    report = Dataset.from_raw(raw, cleaning=Cleaning(preference, k_core)).report
    for step in report.steps:
        assert step.rows_before - sum(step.why.values()) == step.rows_after
        assert all(count > 0 for count in step.why.values())
    interactions = report.steps[1:]
    assert interactions[0].rows_before == len(rows) + 1 + malformed
    for before, after in pairwise(interactions):
        assert before.rows_after == after.rows_before
    assert json.loads(json.dumps(report.as_dict()))["steps"][0]["name"] == "items"


@given(raw_rows, st.sampled_from(["none", 2.0]), st.integers(0, 3))
def test_cleaning_twice_changes_nothing(rows, preference, k_core):
    cleaning = Cleaning(preference, k_core)
    once = Dataset.from_raw(raw_of([*rows, SOUND]), cleaning=cleaning)
    twice = Dataset.from_rows(once.items, once.interactions, cleaning=cleaning)
    assert list(twice.interactions) == list(once.interactions)
    assert twice.fingerprint == once.fingerprint
    assert all(not step.why for step in twice.report.steps)


@given(raw_rows, st.sampled_from(["auto", "none", "user-mean", 2.0]), st.integers(0, 3))
def test_liked_items_are_consumed_and_unique(rows, preference, k_core):
    data = Dataset.from_raw(raw_of([*rows, SOUND]), cleaning=Cleaning(preference, k_core))
    for user in data.users:
        liked = [row.item_id for row in data.history(user)]
        assert liked
        assert len(set(liked)) == len(liked)
        assert set(liked) <= data.consumed(user)
        dated = [row.timestamp for row in data.history(user)]
        times = [-np.inf if time is None else time for time in dated]
        assert times == sorted(times)


def test_every_reason_of_an_invalid_row_is_named():
    rows = [SOUND, ("", "i0", "", ""), ("u", " ", "", ""), ("u", "i0", "x", ""), ("u", "i1", "", "soon")]
    rows += [("u", "i0", "1", "-5"), ("u", "i7", "", "")]
    data = Dataset.from_raw(raw_of(rows, malformed=2))
    assert data.report.steps[1].why == {
        "too many fields": 2,
        "no user_id": 1,
        "no item_id": 1,
        "rating that is no number (such as 'x')": 1,
        "timestamp that is neither seconds nor an ISO date (such as 'soon')": 1,
    }
    assert data.report.steps[2].why == {"item not in the catalogue": 1}
    assert data.history("u")[0].timestamp == -5


def test_no_usable_row_is_an_error():
    raw = raw_of([("u", "x1", "", ""), ("u", "i0", "", "soon")])
    with pytest.raises(DataError) as caught:
        read_rows(raw, {"i0": 0})
    assert str(caught.value) == (
        "No interaction of t can be used: 1 x timestamp that is neither seconds nor an ISO date (such as "
        "'soon'), 1 x item not in the catalogue (such as 'x1'; the catalogue has 'i0'); correct the file, or "
        "remove it to use items alone."
    )


def test_repeats_keep_the_earliest():
    rows = rows_of("a x 1 30\na y 2 20\na x 3 10\nb x 4 5").in_order()
    kept, step = drop_repeats(rows)
    assert kept.ratings.tolist() == [3, 2, 4]
    assert step.why == {"user met the item before": 1}


def test_ties_keep_file_order_and_undated_rows_come_first():
    data = Dataset.from_rows(catalogue(5), logs("a i0 - 7\na i1 - 7\na i2 - -\na i3 - -4\na i4 - -"))
    assert [row.item_id for row in data.history("a")] == ["i2", "i4", "i3", "i0", "i1"]


@pytest.mark.parametrize(
    ("ratings", "rule", "kept"),
    [
        ("1 2 3 4", "rating >= 2.8 (scale 1-4 seen)", [3, 4]),
        ("0 0 1 1", "rating >= 1 (only 0 and 1 seen)", [1, 1]),
        ("1 1 1 1", "all rows kept (every rating is 1)", [1, 1, 1, 1]),
        ("1 2 1 2", "all rows kept (2 distinct values 1-2 are no rating scale)", [1, 2, 1, 2]),
        ("1 5 80 2", "all rows kept (4 distinct values 1-80 are no rating scale)", [1, 5, 80, 2]),
        ("-1 0 1 1", "all rows kept (3 distinct values -1-1 are no rating scale)", [-1, 0, 1, 1]),
    ],
)
def test_auto_preference_states_its_rule(ratings, rule, kept):
    text = "\n".join(f"a x{place} {value} -" for place, value in enumerate(ratings.split()))
    rows, step = keep_preferred(rows_of(text), "auto")
    assert rows.ratings.tolist() == kept
    assert step.name == f"preference: {rule}"
    assert step.rows_before - step.rows_after == sum(step.why.values())


def test_rows_without_rating_stay_and_are_no_part_of_the_mean():
    rows, _ = keep_preferred(rows_of("a x 1 -\na y - -\na z 3 -\na v 2 -"), "user-mean")
    assert rows.items.tolist() == [1, 2, 3]


def test_equal_ratings_all_reach_their_mean():
    text = "\n".join(f"a x{place} 4.1 -" for place in range(7))
    rows, _ = keep_preferred(rows_of(text), "user-mean")
    assert len(rows) == 7


def test_a_threshold_is_inclusive():
    rows, step = keep_preferred(rows_of("a x 3.5 -\na y 4 -\na z - -"), 4)
    assert rows.items.tolist() == [1, 2]
    assert step == type(step)("preference: rating >= 4 (as asked)", 3, 2, {"rating < 4": 1})


def test_no_rows_keep_nothing():
    empty = rows_of("a x 1 -").take(np.array([False]))
    assert choose_rule(empty, "user-mean")[2].tolist() == []
    assert judge_scale(np.array([])) == ("none", "no ratings")
    assert len(keep_core(empty, 3)[0]) == 0


def test_k_core_goes_on_until_nothing_changes():
    # c has too few; then z has too few; then b; then y... a and x, y alone keep two each way with d.
    rows, step = keep_core(rows_of("a x - -\na y - -\nd x - -\nd y - -\nb y - -\nb z - -\nc z - -"), 2)
    assert len(rows) == 4
    assert step.why == {"user with fewer than 2": 2, "item with fewer than 2": 1}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=40, unique=True), st.integers(0, 4))
def test_k_core_holds_afterwards(pairs, k):
    users, items = (
        np.array(column, dtype=np.int32) for column in (zip(*pairs, strict=True) if pairs else ([], []))
    )
    nothing = np.full(len(pairs), np.nan)
    rows, _ = keep_core(Rows(users, items, nothing, nothing), k)
    for column in (rows.users, rows.items):
        counts = np.bincount(column)
        assert (counts[counts > 0] >= k).all()


def test_k_core_drops_users_but_not_the_catalogue():
    data = Dataset.from_rows(catalogue(3), logs("a i0 - -\nb i0 - -\nb i1 - -"), cleaning=keep_all(k_core=2))
    assert data.users == ()
    assert len(data.items) == 3
    assert data.report.notes == {"users left without a liked item": 2}


def test_numbers():
    values, wrong = read_numbers(["1", " 2.5 ", "", None, "nan", "-inf", "abc", "1970-01-02", 3, "  "])
    np.testing.assert_array_equal(values, [1, 2.5, *[np.nan] * 5, 86400, 3, np.nan])
    assert wrong.tolist() == [False] * 5 + [True, True, False, False, False]


SECONDS = [1_600_000_000.0, 0.0, 1_600_000_001.0, -5.0]


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
def test_times_are_seconds_whatever_the_unit_of_their_column(unit):
    values = [str(int(time * unit)) for time in SECONDS]
    times, wrong = read_times([*values, "", "soon"])
    assert times[:4].tolist() == SECONDS
    assert np.isnan(times[4:]).all()
    assert wrong.tolist() == [False] * 5 + [True]


def test_times_before_1970_have_a_unit_too_and_dates_are_what_they_say():
    assert read_times([-970_099_200_000, -970_099_200_000])[0].tolist() == [-970_099_200.0] * 2
    assert read_times([-970_099_200, -970_099_200])[0].tolist() == [-970_099_200.0] * 2
    assert read_times([1.6e12, "2020-09-13", 1.7e12])[0].tolist() == [1.6e9, 1599955200.0, 1.7e9]
    assert read_times([])[0].tolist() == []
    assert read_times([1e308, -1e308, 1e308])[0].tolist() == pytest.approx([1e299, -1e299, 1e299])


def test_milliseconds_give_the_same_data_set():
    rows = "a i0 5 {0}\na i1 5 {1}\na i2 5 {2}\nb i2 5 {1}\nb i0 5 {2}"
    times = [0, 1_600_000_000, 1_600_086_400]
    one, other = (
        Dataset.from_rows(catalogue(3), logs(rows.format(*[time * unit for time in times])))
        for unit in (1, 1000)
    )
    assert list(one.interactions) == list(other.interactions)
    assert one.history("a")[0].item_id == "i0"
    assert one.fingerprint == other.fingerprint


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"preference": "mean"},
            "Unknown preference 'mean'; give 'auto', 'none', 'user-mean' or a number.",
        ),
        (
            {"preference": float("nan")},
            "Unknown preference nan; give 'auto', 'none', 'user-mean' or a number.",
        ),
        ({"k_core": -1}, "k_core is -1; give 0 (off) or more."),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ConfigError) as caught:
        Cleaning(**settings)
    assert str(caught.value) == message


@pytest.mark.parametrize("said", [{"preference": True}, {"preference": "4"}])
def test_a_cleaning_that_cannot_be_meant_names_its_file(said):
    with pytest.raises((DataError, ConfigError), match=r"'cleaning' in meta\.json"):
        cleaning_of({"cleaning": said})


def test_no_cleaning_is_the_usual_one():
    assert cleaning_of({"cleaning": None}) == cleaning_of({}) == Cleaning()
