"""Columns that go by other names: mapped in meta.json, or spelt in other capitals."""

import pytest

from llmrec_prompt.data import Dataset, write_two_file
from llmrec_prompt.errors import DataError

from ..strategies import write_jsonl, write_lines

SHOP = {"Name": "title", "sku": "item_id", "Kind": "categories", "customer": "user_id", "day": "timestamp"}
ITEMS = [{"sku": "1", "Name": "Cup", "Kind": "a|b"}, {"sku": "2", "Name": "Pot", "Kind": ""}]
LOG = [{"customer": "u", "sku": "2", "day": "2024-01-02"}, {"customer": "u", "sku": "1", "day": "2024-01-01"}]


def write_csv(path, rows):
    write_lines(path, [",".join(rows[0]), *[",".join(row.values()) for row in rows]])


def write_parquet(path, rows):
    pa = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(pa.Table.from_pylist(rows), path)


WRITERS = {"csv": write_csv, "jsonl": write_jsonl, "parquet": write_parquet}


def shop(folder, mapping, kinds=("csv", "csv"), items=ITEMS, log=LOG):
    folder.mkdir(exist_ok=True)
    write_jsonl(folder / "meta.json", [{"columns": mapping, "note": "ours"}])
    WRITERS[kinds[0]](folder / f"items.{kinds[0]}", items)
    WRITERS[kinds[1]](folder / f"interactions.{kinds[1]}", log)
    return folder


@pytest.mark.parametrize("kinds", [("csv", "csv"), ("jsonl", "parquet"), ("parquet", "csv")])
def test_columns_are_read_as_meta_json_says(tmp_path, kinds):
    data = Dataset.load(shop(tmp_path / "in", SHOP, kinds))
    assert [(item.item_id, item.title, item.model_extra) for item in data.items] == [
        ("1", "Cup", {}),
        ("2", "Pot", {}),
    ]
    assert data.items[0].categories == (("a", "b") if kinds[0] == "csv" else ("a|b",))
    assert [row.item_id for row in data.history("u")] == ["1", "2"]
    assert data.report.remarks == ()
    again = Dataset.load(write_two_file(data, tmp_path / "out"))
    assert (again.fingerprint, again.meta["note"]) == (data.fingerprint, "ours")


BAD = [
    (
        SHOP | {"Sku": "item_id"},
        "Column 'Sku' of 'columns' in meta.json is in no file of {d}; found: sku, Name",
    ),
    (
        SHOP | {"Prise": "price"},
        "Column 'Prise' of 'columns' in meta.json is in no file of {d}; found: sku, ",
    ),
    (
        {"Title": "title", "sku": "item_id"},
        "Column 'Title' is missing in {d}/items.csv; found: sku, Name, Kind.",
    ),
    (
        SHOP | {"Kind": "title"},
        "{d}/items.csv: columns ['Name', 'Kind'] would all be 'title'; keep one of them.",
    ),
]


@pytest.mark.parametrize(("mapping", "message"), BAD)
def test_a_mapping_that_cannot_be_meant(tmp_path, mapping, message):
    with pytest.raises(DataError) as caught:
        Dataset.load(shop(tmp_path, mapping))
    assert str(caught.value).startswith(message.format(d=tmp_path))


def test_a_mapping_of_an_empty_catalogue_finds_nothing(tmp_path):
    (tmp_path / "items.jsonl").touch()
    (tmp_path / "meta.json").write_text('{"columns": {"Name": "title"}}')
    with pytest.raises(DataError, match=r"Column 'Name' .* is in no file of .*; found: nothing\."):
        Dataset.load(tmp_path)


@pytest.mark.parametrize(
    ("note", "told"),
    [
        (["item_id", "title"], "'columns' in meta.json is ['item_id', 'title'] and is not read"),
        ({"rating": "1 to 5 stars"}, "'columns' in meta.json would rename rating, which is read as it is."),
        ({"stars": 5}, "'columns' in meta.json is {'stars': 5} and is not read"),
    ],
)
def test_notes_about_columns_rename_nothing(tmp_path, caplog, note, told):
    write_lines(tmp_path / "items.csv", ["item_id,title", "1,Cup", "2,Pot"])
    write_lines(tmp_path / "interactions.csv", ["user_id,item_id,rating,timestamp", "u,1,1,7", "u,2,5,8"])
    write_jsonl(tmp_path / "meta.json", [{"columns": note, "cleaning": {"preference": 3.5}}])
    data = Dataset.load(tmp_path)
    assert [(like.item_id, like.timestamp) for like in data.history("u")] == [("2", 8)]
    (message,) = caplog.messages
    assert message.startswith(told)


def test_each_file_is_read_by_what_of_the_mapping_is_its_own(tmp_path):
    write_lines(tmp_path / "items.csv", ["id,name,rating", "1,Cup,9"])
    write_lines(tmp_path / "interactions.csv", ["id,user_id,item_id,rating", "77,u,1,5"])
    mapping = {"id": "item_id", "name": "title", "rating": "stars"}
    write_jsonl(tmp_path / "meta.json", [{"columns": mapping}])
    data = Dataset.load(tmp_path)
    assert (data.items[0].item_id, data.items[0].title) == ("1", "Cup")
    assert [(like.item_id, like.rating) for like in data.history("u")] == [("1", 5.0)]
    assert "column 'id' of interactions.csv is not read as 'item_id', which it has" in data.report.remarks


def test_two_columns_may_be_read_as_each_other(tmp_path):
    write_lines(tmp_path / "items.csv", ["item_id,title,Name", "1,a long text,Cup"])
    write_jsonl(tmp_path / "meta.json", [{"columns": {"title": "description", "Name": "title"}}])
    item = Dataset.load(tmp_path).items[0]
    assert (item.title, item.description) == ("Cup", "a long text")


def test_rows_that_go_by_different_names_are_not_lost(tmp_path):
    write_jsonl(tmp_path / "items.jsonl", [{"sku": "1", "title": "A"}, {"item_id": "2", "title": "B"}])
    write_jsonl(tmp_path / "meta.json", [{"columns": {"sku": "item_id"}}])
    with pytest.raises(DataError, match="would all be 'item_id'"):
        Dataset.load(tmp_path)


def test_a_mapping_of_logs_that_are_not_there_is_no_error(tmp_path):
    (shop(tmp_path, SHOP) / "interactions.csv").unlink()
    assert len(Dataset.load(tmp_path).items) == 2


def test_a_slip_in_what_a_column_is_called_is_told(tmp_path, caplog):
    Dataset.load(shop(tmp_path, SHOP | {"Kind": "catgories"}))
    assert caplog.messages == [
        "Unknown column 'catgories' in 'columns' of meta.json. Did you mean 'categories'?"
    ]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_other_capitals_and_blanks_are_the_known_column(tmp_path, kind):
    WRITERS[kind](
        tmp_path / f"items.{kind}", [{"Item_ID": "1", "title": "Cup", "PRICE ": "3", "Cuisine": "x"}]
    )
    write_lines(tmp_path / "interactions.csv", ["user_id,item_id,Timestamp", "u,1,5"])
    data = Dataset.load(tmp_path)
    assert (data.items[0].price, data.items[0].model_extra) == (3.0, {"Cuisine": "x"})
    assert data.history("u")[0].timestamp == 5
    price = "PRICE" if kind == "csv" else "PRICE "
    assert data.report.remarks == (
        f"column 'Item_ID' of items.{kind} is read as 'item_id'",
        f"column {price!r} of items.{kind} is read as 'price'",
        "column 'Timestamp' of interactions.csv is read as 'timestamp'",
    )


def test_which_of_two_is_meant_is_not_guessed(tmp_path, caplog):
    items = [{"item_id": "1", "title": "Cup", "Title": "C", "Price": 3, "PRICE": 4}]
    write_jsonl(tmp_path / "items.jsonl", items)
    item = Dataset.load(tmp_path).items[0]
    assert (item.title, item.price, item.model_extra) == ("Cup", None, {"Title": "C", "Price": 3, "PRICE": 4})
    assert caplog.messages == [
        f"Columns ['Price', 'PRICE'] of {tmp_path / 'items.jsonl'} are not read; name one of them 'price'."
    ]


def test_a_mapping_that_nobody_reads_is_told(tmp_path, caplog):
    write_lines(tmp_path / "movies.csv", ["movieId,title,genres", "1,Alien,Horror"])
    write_jsonl(tmp_path / "meta.json", [{"columns": {"movieId": "item_id"}}])
    Dataset.load(tmp_path)
    assert caplog.messages == [
        f"'columns' in meta.json of {tmp_path} is not read: the folder is of kind 'movielens'."
    ]


def test_semicolons_where_mapped_names_alone_say_so(tmp_path):
    folder = shop(tmp_path / "in", {"sku": "item_id", "Name": "title", "customer": "user_id"})
    write_lines(folder / "items.csv", ['sku;Name;"Price, EUR"', '1;"Cup, small";3', "2;Pot;4"])
    write_lines(folder / "interactions.csv", ['customer;sku;"bought, when"', "u;1;x"])
    data = Dataset.load(folder)
    assert [item.title for item in data.items] == ["Cup, small", "Pot"]
    assert data.users == ("u",)
