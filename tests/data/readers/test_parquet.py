import datetime

import pytest

from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import DataError

from ..strategies import keep_all

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

TITLES = {
    "movie_id": [1, 2, 3],
    "movie_title": ["A", "B", "C"],
    "genres": [["x", "y"], None, ["z"]],
    "length": [81, 90, 77],
}


def write(path, columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def test_shards_and_splits_are_one_data_set(tmp_path):
    write(tmp_path / "items" / "train-00000-of-00001.parquet", TITLES)
    for part, (users, movies) in {"train": ([7, 7], [1, 2]), "test": ([7, 8], [3, 1])}.items():
        log = {"user_id": users, "movie_id": movies, "rating": [5.0, 4.0], "timestamp": [10, 20]}
        write(tmp_path / "data" / f"{part}-00000-of-00001.parquet", log)
    write(tmp_path / "data" / "people.parquet", {"user_id": [7], "age": [30]})
    data = Dataset.load(tmp_path, cleaning=keep_all())
    assert [(i.item_id, i.title, i.categories) for i in data.items] == [
        ("1", "A", ("x", "y")), ("2", "B", ()), ("3", "C", ("z",)),
    ]  # fmt: skip
    assert data.items[0].model_extra == {"length": 81}
    assert {(r.user_id, r.item_id, r.timestamp) for r in data.interactions} == {
        ("7", "1", 10.0), ("7", "2", 20.0), ("7", "3", 10.0), ("8", "1", 20.0),
    }  # fmt: skip
    assert data.report.notes["Parquet files without a column of items, left out"] == 1


def test_one_table_for_all(tmp_path):
    table = {
        "user": ["u", "u", "v"],
        "item": ["1", "2", "1"],
        "title": ["A", "B", "A"],
        "brand": ["x", "y", "x"],
    }
    write(tmp_path / "train.parquet", table)
    data = Dataset.load(tmp_path)
    assert [(i.item_id, i.title, i.creator) for i in data.items] == [("1", "A", "x"), ("2", "B", "y")]
    assert [len(data.history(user)) for user in ("u", "v")] == [2, 1]


def test_titles_of_reviews_are_no_titles_of_items(tmp_path):
    table = {"user_id": ["u", "v"], "parent_asin": ["1", "1"], "title": ["Great!", "Broke in a week"]}
    write(tmp_path / "reviews.parquet", table)
    with pytest.raises(DataError) as caught:
        Dataset.load(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: titles differ from row to row, so they are not the items'. Add a file of items."
    )
    write(tmp_path / "meta" / "full.parquet", {"parent_asin": ["1"], "title": ["Lamp"]})
    assert Dataset.load(tmp_path).item("1").title == "Lamp"


def test_no_titles_anywhere(tmp_path):
    write(tmp_path / "log.parquet", {"user_id": ["u"], "item_id": ["1"]})
    with pytest.raises(
        DataError, match=r"has no Parquet file with an item \(item_id, .*\) and a title \(title,"
    ):
        Dataset.load(tmp_path)


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ([1588687728923, 1588687729000], [1588687728.923, 1588687729.0]),
        ([1588687728, 1588687729], [1588687728.0, 1588687729.0]),
        ([datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 2)], [1577836800.0, 1577923200.0]),
    ],
)
def test_times_are_seconds(tmp_path, times, seconds):
    write(tmp_path / "items" / "a.parquet", TITLES)
    write(tmp_path / "log.parquet", {"user_id": ["u", "u"], "movie_id": [1, 2], "timestamp": times})
    assert [row.timestamp for row in Dataset.load(tmp_path).history("u")] == seconds


def test_one_unit_for_all_shards_though_a_time_is_missing_in_one(tmp_path):
    write(tmp_path / "items" / "a.parquet", TITLES)
    for shard, times in {"a": [1588687728000, 0], "b": [1588687729000, 1588687730000]}.items():
        log = {"user_id": [shard, "u"], "movie_id": [1, 2 if shard == "a" else 3], "timestamp": times}
        write(tmp_path / f"log-{shard}.parquet", log)
    data = Dataset.load(tmp_path)
    assert [row.timestamp for row in data.history("u")] == [0.0, 1588687730.0]
    assert [row.timestamp for row in (*data.history("a"), *data.history("b"))] == [1588687728.0, 1588687729.0]
