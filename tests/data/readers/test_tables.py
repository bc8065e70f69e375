import builtins
import csv
import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmrec_prompt.data import Dataset, read_folder, write_two_file
from llmrec_prompt.errors import DataError, MissingExtra

from ..strategies import catalogue, data_sets, keep_all, write_jsonl, write_lines

reuse_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
ITEMS = "item_id,title,categories,year,shelf"


def test_csv_items_split_lists_and_keep_extra_fields(tmp_path):
    write_lines(
        tmp_path / "items.csv", [ITEMS, '1,"Alien, again",Horror|Sci-Fi,1979,a|b', "2,Up"], "utf-8-sig"
    )
    one, two = Dataset.load(tmp_path).items
    assert (one.title, one.categories, one.year) == ("Alien, again", ("Horror", "Sci-Fi"), "1979")
    assert one.model_extra == {"shelf": "a|b"}
    assert two.categories == ()


def test_jsonl_tolerates_a_byte_order_mark_and_odd_line_ends(tmp_path):
    lines = [
        json.dumps({"item_id": 1, "title": "A\u2028B"}, ensure_ascii=False),
        "",
        '{"item_id":"2","title":"C"}\r',
    ]
    write_lines(tmp_path / "items.jsonl", lines, "utf-8-sig")
    assert [item.item_id for item in Dataset.load(tmp_path).items] == ["1", "2"]


def test_characters_that_json_escapes_in_two_halves(tmp_path):
    write_lines(tmp_path / "items.jsonl", [r'{"item_id": "1", "title": "\ud83d\ude00"}'])
    assert Dataset.load(tmp_path).items[0].title == "\U0001f600"


def test_interactions_columns_in_any_order_and_short_or_long_rows(tmp_path):
    write_jsonl(tmp_path / "items.jsonl", catalogue(3))
    log = ["item_id,extra,user_id,timestamp", "i0,x,a,5", "i1,x,a", "i2,x,a,1,9", ""]
    write_lines(tmp_path / "interactions.csv", log)
    data = Dataset.load(tmp_path)
    assert [row.item_id for row in data.history("a")] == ["i1", "i0"]
    assert data.report.steps[1].why == {"too many fields": 1}


def test_empty_log_with_header_only(tmp_path):
    write_jsonl(tmp_path / "items.jsonl", catalogue(1))
    write_lines(tmp_path / "interactions.csv", ["user_id,item_id"])
    assert not Dataset.load(tmp_path).has_logs


@reuse_folder
@given(data_sets(cleaning=keep_all()))
def test_two_file_round_trip(tmp_path, data):
    write_two_file(data, tmp_path / "out")
    log = tmp_path / "out" / "interactions.csv"
    again = Dataset.load(tmp_path / "out", cleaning=keep_all())
    if data.users:
        assert list(again.interactions) == list(data.interactions)
    log.unlink(missing_ok=True)
    assert again.items == data.items
    assert again.fingerprint == data.fingerprint


@reuse_folder
@given(data_sets())
def test_writing_keeps_what_was_consumed_but_not_liked(tmp_path, data):
    folder = write_two_file(data, tmp_path / "out")
    again = Dataset.load(folder)
    (folder / "interactions.csv").unlink(missing_ok=True)
    assert again.users == data.users
    for user in data.users:
        assert again.consumed(user) == data.consumed(user)


@reuse_folder
@given(st.lists(st.tuples(*[st.text(st.characters(exclude_categories=("Cs",)), max_size=5)] * 2), max_size=6))
def test_csv_cells_come_back(tmp_path, pairs):
    out = io.StringIO(newline="")
    csv.writer(out).writerows([("item_id", "title"), *pairs])
    (tmp_path / "items.csv").write_bytes(out.getvalue().encode())
    assert [(row["item_id"], row["title"]) for row in read_folder(tmp_path).items] == pairs


@pytest.mark.parametrize(
    ("log", "users", "likes"),
    [
        (["1.0,11.0", "2.0,12.0"], ("1", "2"), 2),
        (["1.0,11.0", ",12.0"], ("1",), 1),
        (["1.0,11", "2,12"], ("1.0", "2"), 2),
        (["1,11.0", "2,12"], ("2",), 1),
    ],
)
def test_whole_numbers_that_pandas_wrote_as_floats(tmp_path, log, users, likes):
    write_jsonl(tmp_path / "items.jsonl", [{"item_id": n, "title": f"T{n}"} for n in (11, 12)])
    write_lines(tmp_path / "interactions.csv", ["user_id,item_id", *log])
    data = Dataset.load(tmp_path)
    assert (data.users, len(list(data.interactions))) == (users, likes)


def test_ids_that_end_so_in_the_catalogue_too_stay(tmp_path):
    write_jsonl(tmp_path / "items.jsonl", [{"item_id": "11.0", "title": "T"}])
    write_lines(tmp_path / "interactions.csv", ["user_id,item_id", "u,11.0"])
    assert [seen.item_id for seen in Dataset.load(tmp_path).history("u")] == ["11.0"]


def test_an_unknown_item_is_shown_beside_a_known_one(tmp_path):
    write_jsonl(tmp_path / "items.jsonl", [{"item_id": "a-1", "title": "T"}])
    write_lines(tmp_path / "interactions.csv", ["user_id,item_id", "u,a-1", "u,A-1", "v,A-2"])
    words = "rows with an unknown item (such as 'A-1'; the catalogue has 'a-1')"
    assert Dataset.load(tmp_path).report.notes[words] == 2


def test_another_separator_is_named(tmp_path):
    write_jsonl(tmp_path / "items.jsonl", [{"item_id": "a", "title": "T"}])
    write_lines(tmp_path / "interactions.csv", ["user_id|item_id", "u|a"])
    with pytest.raises(DataError, match=r"is separated by bars.*Save it with commas"):
        Dataset.load(tmp_path)


@pytest.mark.parametrize("sign", [";", "\t"])
def test_semicolons_and_tabs_as_spreadsheets_write_them(tmp_path, sign):
    lines = ["item_id;title;categories", '1;"Cup, small";a|b', '2;"Two;', 'lines";', "3;Three;a, b"]
    write_lines(tmp_path / "items.csv", [line.replace(";", sign) for line in lines], "utf-8-sig")
    data = Dataset.load(tmp_path)
    assert [(item.title, item.categories) for item in data.items] == [
        ("Cup, small", ("a", "b")),
        (f"Two{sign}\nlines", ()),
        ("Three", ("a, b",)),
    ]
    write_lines(tmp_path / "items.csv", [sign.join(["item_id", "title"]), sign.join(["1", '"One'])])
    with pytest.raises(DataError, match="the file ends inside it"):
        Dataset.load(tmp_path)


def test_commas_in_the_first_line_are_the_separator(tmp_path):
    write_lines(tmp_path / "items.csv", ["item_id,title;or name,title", "1,x,T;U"])
    assert Dataset.load(tmp_path).items[0].title == "T;U"


def test_quotes_within_a_line_and_around_several_lines(tmp_path):
    lines = ["item_id,title,creator", '1,"Weird Al" X,5" disc', '2,"Two', 'lines, ""one"" title",B', '3,C"D"']
    write_lines(tmp_path / "items.csv", lines)
    data = Dataset.load(tmp_path)
    assert [(item.title, item.creator) for item in data.items] == [
        ("Weird Al X", '5" disc'),
        ('Two\nlines, "one" title', "B"),
        ('C"D"', ""),
    ]
    assert data.report.notes == {"items.csv rows that go over several lines": 1}


OPEN_QUOTES = [
    ("items.csv", ['6,"Heroes', "7,Seven"], "the file ends inside it"),
    ("items.csv", ['"'], "the file ends inside it"),
    ("items.csv", ['6,"Heroes', '7,"Great" Seven', "8,Eight"], "',' expected after '\"'"),
    ("items.csv", ['"6,Heroes', '7,Seven"'], "it has 1 fields, the header 2"),
    ("items.csv", ['6,"' + "x" * 70_000, "y" * 70_000], "field larger than field limit (131072)"),
    ("interactions.csv", ['"u3,1', "u4,1", '"u5",1'], "',' expected after '\"'"),
    ("interactions.csv", ['"u3,1', "u4,1"], "the file ends inside it"),
]


@pytest.mark.parametrize(("name", "lines", "reason"), OPEN_QUOTES)
def test_a_quote_that_nobody_closes_does_not_swallow_rows(tmp_path, name, lines, reason):
    write_lines(tmp_path / "items.csv", ["item_id,title", "1,One"])
    head = {"items.csv": "item_id,title", "interactions.csv": "user_id,item_id"}[name]
    write_lines(tmp_path / name, [head, "1,One", *lines])
    with pytest.raises(DataError) as caught:
        Dataset.load(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / name}, line 3: a quote opens in this record that is not closed where it should be "
        f"({reason}). Close it, or double it where it is part of the text."
    )


def test_a_quote_that_another_row_happens_to_close_is_counted(tmp_path):
    write_lines(tmp_path / "items.csv", ["item_id,title", '6,"Heroes', '7,Disc 12"', "8,Eight"])
    data = Dataset.load(tmp_path)
    assert [item.item_id for item in data.items] == ["6", "8"]
    assert data.report.notes == {"items.csv rows that go over several lines": 1}


def test_parquet_round_trip(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    items = {"item_id": [1, 2], "title": ["A", "B"], "categories": [["x", "y"], None], "year": [1999.0, None]}
    log = {"user_id": [5, 6, 6], "item_id": [1.0, 2.0, None], "timestamp": [3.0, None, 1.0]}
    pq.write_table(pa.table(items), tmp_path / "items.parquet")
    pq.write_table(pa.table(log), tmp_path / "interactions.parquet")
    data = Dataset.load(tmp_path)
    assert [(i.item_id, i.categories, i.year) for i in data.items] == [
        ("1", ("x", "y"), "1999"),
        ("2", (), ""),
    ]
    assert [(r.user_id, r.item_id, r.timestamp) for r in data.interactions] == [
        ("5", "1", 3.0),
        ("6", "2", None),
    ]
    assert data.report.steps[1].why == {"no item_id": 1}


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    write_lines(tmp_path / "items.parquet", ["x"])
    real_import = builtins.__import__

    def no_pyarrow(name, *rest):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real_import(name, *rest)

    monkeypatch.setattr(builtins, "__import__", no_pyarrow)
    with pytest.raises(MissingExtra) as caught:
        Dataset.load(tmp_path)
    assert (
        str(caught.value) == 'Parquet files needs extra packages. Run: pip install "llmrec-prompt[parquet]"'
    )


GOOD = '{"item_id": "1", "title": "A"}'
NOT_JSON = "not JSON (Expecting property name enclosed in double quotes); correct"
NO_KIND = (
    "No data set in {d}; found: a.csv, readme.txt; expected items.jsonl|csv|parquet (with "
    "interactions.csv|parquet), MovieLens (movies.csv, movies.dat or u.item), RecBole (NAME.item with "
    "NAME.inter), MIND (news.tsv with behaviors.tsv), Amazon reviews (meta_CATEGORY.jsonl.gz with "
    "CATEGORY.jsonl.gz) or Parquet shards."
)
BAD_FOLDERS = [
    ("items.csv", "item_id,name\n1,A\n", "Column 'title' is missing in {f}; found: item_id, name."),
    ("items.csv", "", "Column 'item_id' is missing in {f}; found: nothing."),
    (
        "items.csv",
        "item_id,title,title\n1,A,B\n",
        "Column 'title' is there twice in {f}; rename or remove one.",
    ),
    (
        "items.jsonl",
        GOOD + '\n{"item_id": "2", "title": "\\uD83D"}',
        "{f}, line 2: half a character, such as \\ud83d alone; correct the line.",
    ),
    ("items.csv", "item_id,title\n1,A, B\n", "{f}: 1 rows have more than 2 fields; quote their commas."),
    ("items.csv", b"item_id,title\n1,caf\xe9\n", "{f} is not UTF-8 (byte 19); save it as UTF-8."),
    ("items.jsonl", '{"id": "1", "title": "A"}', "Column 'item_id' is missing in {f}; found: id, title."),
    ("items.jsonl", GOOD + "\n{oops}", "{f}, line 2: " + NOT_JSON + " the line."),
    ("items.jsonl", "[" * 100_000, "{f}, line 1: not JSON (nested too deeply); correct the line."),
    ("items.jsonl", GOOD + "\n[1]", "{f}, line 2: found a list; expected a JSON object."),
    ("items.jsonl", "", "The catalogue of {n} is empty: found no rows; add items with a title."),
    ("interactions.csv", "user_id,item\n", "Column 'item_id' is missing in {f}; found: user_id, item."),
    (
        "items.jsonl",
        '{"a": ' + "9" * 5_000 + "}",
        "{f}, line 1: not JSON (an integer of too many digits); correct the line.",
    ),
    ("meta.json", "{", "{f} is " + NOT_JSON + " or remove it."),
    ("meta.json", '{\n"a"', "{f} is not JSON (Expecting ':' delimiter in line 2); correct or remove it."),
    ("meta.json", "[" * 100_000, "{f} is not JSON (nested too deeply); correct or remove it."),
    ("meta.json", "[]", "{f} holds a list; a JSON object is expected."),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD_FOLDERS)
def test_bad_files(tmp_path, name, content, message):
    if not name.startswith("items"):
        write_lines(tmp_path / "items.jsonl", [GOOD])
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as caught:
        Dataset.load(tmp_path)
    assert str(caught.value) == message.format(d=tmp_path, f=tmp_path / name, n=tmp_path.name)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("items.jsonl", "items.csv"), "{d} holds items.jsonl and items.csv; keep one of them."),
        (("readme.txt", "a.csv"), NO_KIND),
    ],
)
def test_bad_folders(tmp_path, files, message):
    for name in files:
        write_lines(tmp_path / name, ["x"])
    with pytest.raises(DataError) as caught:
        Dataset.load(tmp_path)
    assert str(caught.value) == message.format(d=tmp_path)


def test_bad_parquet_is_one_line(tmp_path):
    pytest.importorskip("pyarrow")
    write_lines(tmp_path / "items.parquet", ["this is no parquet file at all"])
    with pytest.raises(DataError, match=r"items\.parquet cannot be read as Parquet: ") as caught:
        Dataset.load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "state"), [("nowhere", "does not exist"), ("file", "is a file")])
def test_no_folder(tmp_path, name, state):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError) as caught:
        Dataset.load(tmp_path / name)
    assert str(caught.value).startswith(
        f"Data folder {tmp_path / name} {state}; give a folder with items.jsonl"
    )


def test_an_empty_folder_says_so(tmp_path):
    with pytest.raises(DataError, match="found: nothing; expected"):
        Dataset.load(tmp_path)


def test_a_data_set_is_called_after_its_folder_from_inside_too(tmp_path, monkeypatch):
    folder = tmp_path / "my_shop"
    write_jsonl(folder / "items.jsonl", [{"item_id": "1", "title": "Cup"}])
    monkeypatch.chdir(folder)
    assert Dataset.load(".").name == "my_shop"
    (folder / "deeper").mkdir()
    monkeypatch.chdir(folder / "deeper")
    assert Dataset.load("..").name == "my_shop"


@pytest.mark.parametrize("sign", [";", "\t"])
def test_a_comma_in_a_quoted_name_is_no_separator(tmp_path, sign):
    write_lines(
        tmp_path / "items.csv",
        [sign.join(["item_id", "title", '"Preis, EUR"']), sign.join(["1", "Cup", "3"])],
    )
    item = Dataset.load(tmp_path).items[0]
    assert (item.title, item.model_extra) == ("Cup", {"Preis, EUR": "3"})
