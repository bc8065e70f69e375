import pytest
from hypothesis import HealthCheck, given, settings

from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import DataError

from ..strategies import data_sets, keep_all, write_lines

ITEM = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\tlength:float"


def test_names_and_types_are_mapped(tmp_path):
    write_lines(tmp_path / "ml.item", [ITEM, "1\tToy Story\t1995\tAnimation Comedy\t81.0", "2\tHeat\t\t\t"])
    inter = ["user_id:token\titem_id:token\trating:float\ttimestamp:float", "u\t1\t5\t20", "u\t2\t4\t10"]
    write_lines(tmp_path / "ml.inter", inter)
    data = Dataset.load(tmp_path, cleaning=keep_all())
    toy, heat = data.items
    assert (toy.title, toy.year, toy.categories) == ("Toy Story", "1995", ("Animation", "Comedy"))
    assert toy.model_extra == {"length": "81.0"}
    assert (heat.year, heat.categories) == ("", ())
    assert data.name == "ml"
    assert [row.item_id for row in data.history("u")] == ["2", "1"]


def test_another_item_key(tmp_path):
    write_lines(tmp_path / "fm.item", ["artist_id:token\tname:token_seq", "7\tDaft Punk"])
    write_lines(tmp_path / "fm.inter", ["user_id:token\tartist_id:token\tweight:float", "u\t7\t500"])
    data = Dataset.load(tmp_path)
    assert data.history_items("u")[0].title == "Daft Punk"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data_sets(cleaning=keep_all()))
def test_round_trip(tmp_path, data):
    rows = [f"{i.item_id}\t{i.title}\t{' '.join(i.categories)}" for i in data.items]
    write_lines(tmp_path / "x.item", ["item_id:token\ttitle:token_seq\tcategories:token_seq", *rows])
    log = [
        "\t".join("" if cell is None else str(cell) for cell in (r.user_id, r.item_id, r.rating, r.timestamp))
        for r in data.interactions
    ]
    write_lines(tmp_path / "x.inter", ["user_id:token\titem_id:token\trating:float\ttimestamp:float", *log])
    again = Dataset.load(tmp_path, cleaning=keep_all())
    assert [(i.item_id, i.title, i.categories) for i in again.items] == [
        (i.item_id, i.title, i.categories) for i in data.items
    ]
    assert list(again.interactions) == list(data.interactions)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"a.inter": ["user_id:token\titem_id:token"]},
            "{d} needs one NAME.item file with titles; found: none.",
        ),
        (
            {"a.item": ["x:token"], "b.item": ["x:token"]},
            "{d} needs one NAME.item file with titles; found: a.item, b.item.",
        ),
        (
            {"a.item": ["item_id\ttitle"]},
            "{d}/a.item: header field 'item_id' has no type; expected e.g. 'user_id:token'.",
        ),
        (
            {"a.item": ["item_id:token\tprice:float"]},
            "Column 'title' is missing in {d}/a.item; found: item_id, price.",
        ),
        ({"a.item": ["price:float"]}, "Column 'item_id' is missing in {d}/a.item; found: price."),
        (
            {"a.item": ["item_id:token\ttitle:token", "1\tA"], "a.inter": ["item_id:token"]},
            "Column 'user_id' is missing in {d}/a.inter; found: item_id.",
        ),
    ],
)
def test_bad_files(tmp_path, files, message):
    for name, lines in files.items():
        write_lines(tmp_path / name, lines)
    with pytest.raises(DataError) as caught:
        Dataset.load(tmp_path)
    assert str(caught.value) == message.format(d=tmp_path)
