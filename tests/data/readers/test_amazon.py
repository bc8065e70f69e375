import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmrec_prompt.data import Dataset
from llmrec_prompt.data.readers.amazon import SCRIPT
from llmrec_prompt.errors import DataError

from ..strategies import ids, keep_all, texts, write_jsonl, write_lines

META_2018 = [
    {
        "category": ["Video Games", "PlayStation &amp; More"],
        "tech1": "",
        "description": ["A game.", "With dragons."],
        "fit": "",
        "title": "Dragons &amp; Co",
        "also_buy": ["B2"],
        "tech2": "",
        "brand": "Studio",
        "feature": ["Two players"],
        "rank": [">#1 in Video Games"],
        "also_view": [],
        "main_cat": "Video Games",
        "similar_item": "",
        "date": "",
        "price": "$1,299.99",
        "asin": "B1",
        "imageURL": [],
        "imageURLHighRes": [],
    },
    {"title": "Racer", "price": "$5.00 - $9.00", "asin": "B2", "category": [], "main_cat": "Video Games"},
    {"title": "var aPageStart = (new Date()).getTime();", "asin": "B3"},
]
REVIEWS_2018 = [
    {
        "overall": 5.0,
        "verified": True,
        "reviewTime": "10 17, 2015",
        "reviewerID": "A1",
        "asin": "B1",
        "reviewerName": "Jo",
        "reviewText": "Good.",
        "summary": "Five Stars",
        "unixReviewTime": 1445040000,
    },
    {"overall": 4.0, "reviewerID": "A1", "asin": "B2", "unixReviewTime": 1437091200},
    {"overall": 1.0, "reviewerID": "A1", "asin": "B3", "unixReviewTime": 1437091200},
]
META_2023 = [
    {
        "main_category": "All Beauty",
        "title": "Howard LC0008",
        "average_rating": 4.8,
        "rating_number": 10,
        "features": ["Soft"],
        "description": [],
        "price": None,
        "images": [],
        "videos": [],
        "store": "Howard Products",
        "categories": [],
        "details": {"UPC": "617390882781"},
        "parent_asin": "P1",
        "bought_together": None,
    },
    {"title": "Soap", "parent_asin": "P2", "price": 8.5, "categories": ["Beauty", "Soap"]},
]
REVIEWS_2023 = [
    {
        "rating": 5.0,
        "title": "Such a lovely scent",
        "text": "I like it.",
        "images": [],
        "asin": "V1",
        "parent_asin": "P1",
        "user_id": "U1",
        "timestamp": 1588687728923,
        "helpful_vote": 0,
        "verified_purchase": True,
    },
    {"rating": 3.0, "asin": "V2", "parent_asin": "P2", "user_id": "U1", "timestamp": 1488687728000},
]

# Titles with the page's script are dropped on purpose (see test_2018), and entities are read as HTML.
titles = texts.filter(lambda title: SCRIPT not in title and "&" not in title)


def zipped(path, rows):
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))


def test_2018(tmp_path):
    zipped(tmp_path / "meta_Video_Games.json.gz", META_2018)
    zipped(tmp_path / "Video_Games_5.json.gz", REVIEWS_2018)
    data = Dataset.load(tmp_path)
    assert (data.name, data.domain) == ("Video_Games", "games")
    dragons, racer = data.items
    assert (dragons.title, dragons.creator, dragons.price) == ("Dragons & Co", "Studio", 1299.99)
    assert dragons.categories == ("Video Games", "PlayStation & More")
    assert dragons.description == "A game. With dragons."
    assert dragons.model_extra == {"features": ["Two players"]}
    assert (racer.price, racer.categories) == (None, ("Video Games",))
    assert data.report.steps[0].why == {"no title": 1}
    assert data.report.notes["price that is no number, emptied"] == 1
    assert data.report.steps[2].why == {"item not in the catalogue": 1}
    assert [(r.item_id, r.rating, r.timestamp) for r in data.history("A1")] == [
        ("B2", 4.0, 1437091200.0),
        ("B1", 5.0, 1445040000.0),
    ]


def test_2023(tmp_path):
    write_jsonl(tmp_path / "meta_All_Beauty.jsonl", META_2023)
    write_jsonl(tmp_path / "All_Beauty.jsonl", REVIEWS_2023)
    data = Dataset.load(tmp_path, cleaning=keep_all())
    assert (data.name, data.domain) == ("All_Beauty", "shopping")
    howard, soap = data.items
    assert (howard.item_id, howard.creator, howard.price) == ("P1", "Howard Products", None)
    assert howard.categories == ("All Beauty",)
    assert (soap.price, soap.categories) == (8.5, ("Beauty", "Soap"))
    assert [(r.item_id, r.timestamp) for r in data.history("U1")] == [
        ("P2", 1488687728.0),
        ("P1", 1588687728.923),
    ]


def test_nothing_made_of_held_out_reviews_is_read(tmp_path):
    write_jsonl(tmp_path / "meta_All_Beauty.jsonl", META_2023)
    fields = {key for item in Dataset.load(tmp_path).items for key in item.model_dump()}
    assert not fields & {"average_rating", "rating_number", "rank", "also_buy", "bought_together"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    st.lists(
        st.tuples(ids, titles, st.integers(10**12, 2 * 10**12)),
        min_size=1,
        max_size=6,
        unique_by=lambda r: r[0],
    )
)
def test_what_is_written_comes_back(tmp_path, rows):
    zipped(tmp_path / "meta_Books.jsonl.gz", [{"parent_asin": i, "title": t} for i, t, _ in rows])
    reviews = [{"user_id": "u", "parent_asin": i, "rating": 5, "timestamp": time} for i, _, time in rows]
    zipped(tmp_path / "Books.jsonl.gz", reviews)
    data = Dataset.load(tmp_path)
    assert {i.item_id for i in data.items} == {i for i, *_ in rows}
    assert {(r.item_id, r.timestamp) for r in data.interactions} == {(i, time / 1000) for i, _, time in rows}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"meta_A.json": ["{'asin': 'B1', 'title': 'of 2014'}"]},
            "{d}/meta_A.json, line 1: not JSON (Expecting property name enclosed in double quotes); correct "
            "the line.",
        ),
        (
            {"meta_A.json": ['{"asin": "1", "title": "A"}'], "meta_B.json": ["{}"]},
            "{d} needs one meta_CATEGORY and one CATEGORY file; found: meta_A.json, meta_B.json. Keep one.",
        ),
        ({"meta_A.json": ['{"title": "A"}']}, "Column 'asin' is missing in {d}/meta_A.json; found: title."),
        (
            {"meta_A.json": ['{"asin": "1", "title": "A"}'], "A.json": ['{"asin": "1"}']},
            "Column 'reviewerID' is missing in {d}/A.json; found: asin.",
        ),
    ],
)
def test_bad_files(tmp_path, files, message):
    for name, lines in files.items():
        write_lines(tmp_path / name, lines)
    with pytest.raises(DataError) as caught:
        Dataset.load(tmp_path)
    assert str(caught.value) == message.format(d=tmp_path)


def test_a_cut_off_download_is_no_data_set(tmp_path):
    zipped(tmp_path / "meta_A.json.gz", META_2018)
    whole = (tmp_path / "meta_A.json.gz").read_bytes()
    (tmp_path / "meta_A.json.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"meta_A\.json\.gz cannot be read: .*; check the file\."):
        Dataset.load(tmp_path)
