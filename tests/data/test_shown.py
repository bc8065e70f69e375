import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmrec_prompt.data import Dataset, Impression, last_impression
from llmrec_prompt.data.impressions import impression_row, read_impressions
from llmrec_prompt.errors import DataError

from .strategies import catalogue, ids, shared_set, write_jsonl, write_lines

LOG = ["user_id,item_id,timestamp", *(f"a,i{n},{n}" for n in range(5)), "b,i0,1", "c,i1,1"]


def row(user, history, shown, clicked, **more):
    lists = {"candidates": shown.split(), "clicked": clicked.split()}
    return {"user_id": user, "history": history.split(), **lists, **more}


def load(folder, rows):
    write_jsonl(folder / "items.jsonl", catalogue(12))
    write_lines(folder / "interactions.csv", LOG)
    write_lines(folder / "impressions.jsonl", [json.dumps(row) for row in rows])
    return Dataset.load(folder)


def hold_out(data, **more):
    return last_impression(data, users=None, seed=0, **more)


def test_the_last_impression_in_the_file_is_asked_for(tmp_path):
    data = load(tmp_path, [row("a", "i0", "i3 i7", "i3"), row("a", "i0 i1", "i8 i4 i9", "i4")])
    (case,) = hold_out(data).cases
    assert (case.history, case.target, case.shown) == (("i0", "i1"), "i4", ("i8", "i9"))
    train = hold_out(data).train
    assert [r.item_id for r in train.history("a")] == ["i0", "i1", "i2", "i3"]
    assert "i4" not in train.consumed("a")


def test_or_the_latest_where_there_are_times(tmp_path):
    rows = [row("a", "i0", "i3 i7", "i3", timestamp=9), row("a", "i0 i1", "i8 i4 i9", "i4", timestamp=5)]
    (case,) = hold_out(load(tmp_path, rows)).cases
    assert case.target == "i3"


def test_several_clicks_are_all_right_and_none_is_left_in_the_logs(tmp_path):
    data = load(tmp_path, [row("a", "i0", "i8 i4 i3", "i4 i3")])
    split = hold_out(data)
    assert split.cases[0].relevant == {"i3", "i4"}
    assert not split.train.consumed("a") & {"i3", "i4"}


def test_what_the_user_knows_is_neither_right_nor_wrong(tmp_path):
    data = load(tmp_path, [row("a", "i0 i9", "i8 i4 i2 i9 i0 i77", "i4 i9")])
    (case,) = hold_out(data).cases
    assert (case.relevant, case.shown) == ({"i4"}, ("i8",))


def test_the_logs_tell_the_history_where_the_file_does_not(tmp_path):
    given = row("a", "", "i8 i3", "i3")
    del given["history"]
    (case,) = hold_out(load(tmp_path, [given])).cases
    assert case.history == ("i0", "i1", "i2")


@pytest.mark.parametrize(("moment", "length"), [(2.5, 3), (2, 2), (9, 5), (None, 5)])
def test_what_was_liked_after_the_impression_is_not_in_the_history(tmp_path, moment, length):
    """The click is no like, so that only the time can tell."""
    given = row("a", "", "i8 i9", "i9", timestamp=moment)
    del given["history"]
    (case,) = hold_out(load(tmp_path, [given])).cases
    assert case.history == tuple(f"i{n}" for n in range(length))


def test_who_cannot_be_asked_is_not(tmp_path):
    rows = [
        row("a", "i0", "i3 i4", ""),  # no click
        row("b", "i1", "i0", "i0"),  # nothing passed over
        row("c", "", "i1 i2", "i1"),  # no history
        row("z", "i0", "i1 i2", "i1"),  # unknown
    ]
    data = load(tmp_path, rows)
    with pytest.raises(DataError) as caught:
        hold_out(data)
    assert str(caught.value) == (
        f"No user of {tmp_path.name} with 1 items of history clicked one item shown and not another "
        "(2 users with clicks)."
    )
    split = hold_out(data, min_history=0)
    assert [case.user_id for case in split.cases] == ["c"]
    assert split.notes == {"impressions": 4, "impressions_without_click": 1}


def test_without_impressions(tmp_path):
    with pytest.raises(DataError, match=r"^rows does not say what was shown\. Impressions need an"):
        hold_out(Dataset.from_rows(catalogue(3)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    st.lists(
        st.builds(
            Impression,
            user_id=ids,
            shown=st.lists(ids, max_size=4).map(tuple),
            clicked=st.lists(ids, max_size=2).map(tuple),
            history=st.none() | st.lists(ids, max_size=3).map(tuple),
            timestamp=st.none() | st.floats(0, 2e9),
        ),
        max_size=5,
    )
)
def test_impressions_come_back_as_written(tmp_path, found):
    path = write_jsonl(tmp_path / "impressions.jsonl", map(impression_row, found))
    assert list(read_impressions(path)) == found


@pytest.mark.parametrize(
    "line",
    [
        '{"user_id": 1}',
        "[]",
        "{",
        '{"user_id": 1, "candidates": "i1", "clicked": []}',
        f'{{"timestamp": {"9" * 400}, "user_id": 1, "candidates": [], "clicked": []}}',
        "[" * 100_000,
    ],
    ids=["keys", "list", "no JSON", "no list", "time", "deep"],
)
def test_bad_lines_are_named(tmp_path, line):
    path = write_lines(
        tmp_path / "impressions.jsonl", ['{"user_id": 1, "candidates": [], "clicked": []}', line]
    )
    with pytest.raises(DataError) as caught:
        list(read_impressions(path))
    assert str(caught.value) == (
        f'{path}, line 2: expected JSON with "user_id", "candidates" and "clicked", ids in '
        f"lists; found {line[:60]!r}."
    )


def test_real_impressions():
    data = Dataset.load(shared_set("nemig-de"))
    split = last_impression(data, users=300, seed=1)
    assert len(split.cases) == 300
    assert split.notes == {"impressions": 17160, "impressions_without_click": 7}
    for case in split.cases:
        assert case.target == data.history(case.user_id)[-1].item_id
        assert 4 <= len(case.shown) <= 5
        assert not {*case.shown} & data.consumed(case.user_id)
        assert case.target not in split.train.consumed(case.user_id)
