import pytest

from llmrec_prompt.data import Dataset, Impression, write_two_file
from llmrec_prompt.errors import DataError

from ..strategies import write_lines

ENTITY = '[{"Label": "Elizabeth II", "Type": "P", "WikidataId": "Q9682"}]'
NEWS = [
    f'N1\tlifestyle\tlifestyleroyals\tThe "Brands" of Queens\tShop the notebooks.\thttps://x/1\t{ENTITY}\t[]',
    "N2\tnews\tnewsworld\tWar\t\thttps://x/2\t[]\t[]",
    "N3\tsports\tsoccer\tCup\tFinal.\thttps://x/3",
    "N4\tnews\tnewsus\tVote\tCounted.\thttps://x/4\t[]\t[]\textra",
    "N5\tnews\tnewsus\tRain\tSoon.\thttps://x/5\t[]\t[]",
]
BEHAVIORS = [
    "1\tU1\t11/15/2019 8:55:22 AM\tN1 N2\tN3-1 N5-0",
    "2\tU1\t11/14/2019 1:00:00 PM\tN1 N2\tN5-1 N3-0",
    "3\tU2\t11/15/2019 12:00:00 AM\t\tN1-0 N2-1",
    "4\tU3\tyesterday\tN3\tN1-1 N2-0",
    "5\tU4\t11/15/2019 8:55:22 AM\tN3\tN1 N2-0",
    "6\tU4\t11/15/2019",
]


@pytest.fixture
def folder(tmp_path):
    write_lines(tmp_path / "news.tsv", NEWS)
    write_lines(tmp_path / "behaviors.tsv", BEHAVIORS)
    return tmp_path


def test_news_become_items(folder):
    data = Dataset.load(folder)
    assert data.domain == "news"
    assert [item.item_id for item in data.items] == ["N1", "N2", "N3", "N5"]
    first = data.item("N1")
    assert (first.title, first.description) == ('The "Brands" of Queens', "Shop the notebooks.")
    assert first.categories == ("lifestyle", "lifestyleroyals")
    assert data.item("N2").description == ""
    assert data.report.notes["news.tsv rows with too many fields, left out"] == 1


def test_histories_come_first_and_clicks_at_their_time(folder):
    data = Dataset.load(folder)
    assert [row.item_id for row in data.history("U1")] == ["N1", "N2", "N5", "N3"]
    assert [row.timestamp for row in data.history("U1")] == [None, None, 1573736400.0, 1573808122.0]
    assert [row.timestamp for row in data.history("U2")] == [1573776000.0]
    assert [row.item_id for row in data.history("U3")] == ["N3", "N1"]
    assert data.report.notes["impressions whose time cannot be read"] == 1
    assert data.report.steps[1].why == {"too many fields": 1}


def test_impressions_in_file_order_as_often_as_asked(folder):
    data = Dataset.load(folder)
    assert list(data.impressions()) == list(data.impressions())
    assert len(list(data.impressions())) == 5
    first, *_, last = data.impressions()
    assert first == Impression("U1", ("N3", "N5"), ("N3",), ("N1", "N2"), 1573808122.0)
    assert (last.shown, last.clicked) == (("N1", "N2"), ())


def test_a_hyphen_in_an_id_is_no_label(folder):
    write_lines(folder / "news.tsv", [*NEWS, "A-7\tnews\tus\tHyphen\t\t\t\t"])
    write_lines(folder / "behaviors.tsv", ["1\tU\t11/15/2019 8:55:22 AM\tN1\tA-7 A-7-1 A-8-0"])
    (only,) = Dataset.load(folder).impressions()
    assert (only.shown, only.clicked) == (("A-7", "A-7", "A-8"), ("A-7",))


def test_news_alone(folder):
    (folder / "behaviors.tsv").unlink()
    data = Dataset.load(folder)
    assert (data.users, data.has_impressions, list(data.impressions())) == ((), False, [])


def test_converting_keeps_what_was_shown(folder, tmp_path):
    data = Dataset.load(folder)
    again = Dataset.load(write_two_file(data, tmp_path / "out"))
    assert list(again.impressions()) == list(data.impressions())
    assert again.fingerprint == data.fingerprint
    write_two_file(again, tmp_path / "out")  # over what it reads from
    assert list(Dataset.load(tmp_path / "out").impressions()) == list(data.impressions())


def test_bytes_that_are_no_text(folder):
    (folder / "behaviors.tsv").write_bytes(b"1\tU1\t\xff\tN1\tN2-1\n")
    with pytest.raises(DataError, match=r"behaviors.tsv, line 1 is not UTF-8; save it as UTF-8\."):
        Dataset.load(folder)
