"""What may spoil every figure is said at loading, once; real data sets give no cause."""

import logging

import pytest

from llmrec_prompt.data import Cleaning, Dataset, sample_names
from llmrec_prompt.data.notices import UNDATED, is_timelike
from llmrec_prompt.types import Interaction

from .strategies import SHARED, catalogue, logs, shared_set, write_jsonl, write_lines

REAL = sorted(path.name for path in SHARED.iterdir()) if SHARED.is_dir() else []


def folder_of(path, *lines):
    write_jsonl(path / "items.jsonl", catalogue(60))
    write_lines(path / "interactions.csv", lines)
    return path


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_lost_rows_are_told_once(tmp_path, caplog):
    cells = ["2024-07-09", "09/07/2024", "07.09.2024", "07 Sep 2024", "1720483200"]
    rows = [f"u{n % 4},i{n},{cells[n % 5]}" for n in range(50)]
    data = Dataset.load(folder_of(tmp_path / "my shop", "user_id,item_id,timestamp", *rows))
    reason = "timestamp that is neither seconds nor an ISO date (such as '09/07/2024')"
    assert data.report.steps[1].why == {reason: 30}
    assert warnings(caplog) == [
        f"30 of 50 interactions of my shop are dropped as invalid: 30 x {reason}; see "
        f"`llmrec data inspect '{tmp_path / 'my shop'}'`."
    ]


@pytest.mark.parametrize(("rows", "told"), [(99, 1), (101, 0)])
def test_a_row_in_a_hundred_is_a_figure_of_the_report_alone(tmp_path, caplog, rows, told):
    lines = [f"u{n},i1,5" for n in range(rows - 1)]
    data = Dataset.load(folder_of(tmp_path, "user_id,item_id,timestamp", *lines, "u,i1,soon"))
    assert sum(data.report.steps[1].why.values()) == 1
    assert len(warnings(caplog)) == told


def test_rows_in_memory_name_the_report(caplog):
    Dataset.from_rows(catalogue(1), [Interaction("u", "i0"), Interaction("", "i0")])
    told = "1 of 2 interactions of rows are dropped as invalid: 1 x no user_id; see `report` of the data set."
    assert warnings(caplog) == [told]


def test_a_time_under_another_name_is_told(tmp_path, caplog):
    head = "order_id,user_id,item_id,qty,Order Date"
    data = Dataset.load(folder_of(tmp_path, head, "1,u,i1,2,2024-01-02", "2,u,i0,1,2024-01-01"))
    assert [row.item_id for row in data.history("u")] == ["i1", "i0"]
    assert data.report.remarks == (UNDATED, "columns not read: order_id, qty, Order Date")
    assert [line.partition("the column ")[2].partition(" and")[0] for line in warnings(caplog)] == [
        "'Order Date' looks like a time"
    ]


def test_no_times_and_nothing_like_one_is_a_remark(tmp_path, caplog):
    data = Dataset.load(folder_of(tmp_path, "user_id,item_id,playtime", "u,i1,3"))
    assert data.report.remarks == (UNDATED, "columns not read: playtime")
    dated = Dataset.load(folder_of(tmp_path, "user_id,item_id,timestamp,date", "u,i1,3,x"))
    assert dated.report.remarks == ("columns not read: date",)
    assert Dataset.from_rows(catalogue(1)).report.remarks == ()
    assert not warnings(caplog)


@pytest.mark.parametrize(
    "name",
    ["date", "time", "ts", "datetime", "created_at", "ordered_at", "InvoiceDate", "reviewTime", "Time"],
)
def test_names_that_look_like_a_time(name):
    assert is_timelike(name)


@pytest.mark.parametrize("name", ["qty", "at", "runtime", "candidate", "update", "category", "1", "数"])
def test_names_that_do_not(name):
    assert not is_timelike(name)


def test_returns_are_told(caplog):
    log = "a i0 1 1\na i1 6 2\na i2 -1 3\nb i0 2 1\nb i1 3 2\nb i3 4 3\nb i4 5 3\na i1 -6 9"
    data = Dataset.from_rows(catalogue(5), logs(log))
    assert len(data.history("a")) == 3
    (line,) = warnings(caplog)
    assert line == f"rows: {data.report.remarks[0]}."
    assert line.startswith(
        "rows: 2 of 8 ratings are below 0 (preference: all rows kept (7 distinct values -1-6 are no rating "
        'scale)): where they are returns, leave the rows out, or put {"cleaning": {"preference": 1}} into'
    )
    kept = Dataset.from_rows(catalogue(5), logs(log), cleaning=Cleaning(preference=1))
    assert [row.item_id for row in kept.history("a")] == ["i0", "i1"]
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize("name", [*REAL, *[f"sample:{name}" for name in sample_names()]])
def test_real_data_sets_give_no_cause(name, caplog):
    Dataset.load(name if name.startswith("sample:") else shared_set(name))
    assert not warnings(caplog)
