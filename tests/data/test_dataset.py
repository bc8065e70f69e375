import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llmrec_prompt.data as data_room
from llmrec_prompt.data import Cleaning, Dataset, Step, sample_names
from llmrec_prompt.data.catalogue import is_visible
from llmrec_prompt.data.domain import domain_of
from llmrec_prompt.errors import DataError, UnknownName
from llmrec_prompt.templates.sanitise import clean_text
from llmrec_prompt.types import Interaction, Item

from .strategies import catalogue, data_sets, keep_all, logs, write_jsonl, write_lines

LOG = "a i0 5 10\na i1 1 20\na i2 4 30\nb i2 4 5"


@pytest.fixture
def small():
    return Dataset.from_rows(catalogue(4), logs(LOG), name="small", domain="movies")


def test_the_room_exports_a_sorted_list_of_what_is_there():
    assert data_room.__all__ == sorted(data_room.__all__, key=lambda name: (name.upper() != name, name))
    assert all(hasattr(data_room, name) for name in data_room.__all__)


def test_what_is_no_folder_is_an_error():
    with pytest.raises(DataError, match=r"The data is 3; give a folder, or a packaged set"):
        Dataset.load(3)


def test_items_and_users(small):
    assert [item.item_id for item in small.items] == ["i0", "i1", "i2", "i3"]
    assert small.index["i2"] == 2
    assert small.item("i3").title == "Title 3"
    assert small.users == ("a", "b")
    assert small.has_logs
    assert repr(small) == "Dataset('small', domain='movies', items=4, users=2, liked=3)"


def test_history_is_liked_items_and_consumed_is_all(small):
    assert small.history("a") == (Interaction("a", "i0", 5.0, 10.0), Interaction("a", "i2", 4.0, 30.0))
    assert [item.item_id for item in small.history_items("a")] == ["i0", "i2"]
    assert small.consumed("a") == {"i0", "i1", "i2"}
    assert small.popularity().tolist() == [1, 0, 2, 0]
    users, items = small.pairs()
    assert (users.tolist(), items.tolist()) == ([0, 0, 1], [0, 2, 2])
    assert users.dtype == items.dtype == np.int32
    assert [row.item_id for row in small.interactions] == ["i0", "i2", "i2"]


def test_popularity_cannot_be_spoilt(small):
    with pytest.raises(ValueError, match="read-only"):
        small.popularity()[0] = 9


def test_unknown_names(small):
    with pytest.raises(UnknownName, match=r"^Unknown user 'c'; there are 2\."):
        small.history("c")
    with pytest.raises(UnknownName, match=r"^Unknown item 'i9'\. Available: i0, i1, i2, i3\.$"):
        small.item("i9")
    for method in (small.consumed, small.history_items):
        with pytest.raises(UnknownName):
            method("c")
    with pytest.raises(UnknownName):
        small.without([("a", "i9")])


def test_without_removes_from_histories_popularity_and_consumed(small):
    train = small.without([("a", "i2"), ("a", "i1"), ("b", "i0")])
    assert [row.item_id for row in train.history("a")] == ["i0"]
    assert train.consumed("a") == {"i0"}
    assert train.popularity().tolist() == [1, 0, 1, 0]
    assert train.items == small.items
    assert train.users == small.users
    assert train.fingerprint != small.fingerprint
    assert small.without([]).fingerprint == small.fingerprint
    assert small.without([("b", "i2")]).history("b") == ()


@given(data_sets(), st.randoms())
def test_without_takes_exactly_the_pairs(data, random):
    pairs = [(row.user_id, row.item_id) for row in data.interactions]
    held_out = set(random.sample(pairs, k=len(pairs) // 2))
    left = data.without(held_out)
    assert [(r.user_id, r.item_id) for r in left.interactions] == [p for p in pairs if p not in held_out]
    for user in data.users:
        assert left.consumed(user) == data.consumed(user) - {item for u, item in held_out if u == user}


def test_only_keeps_the_logs_of_these_users(small):
    part = small.only(["b"])
    assert (part.users, part.items, part.name, part.domain) == (("b",), small.items, "small", "movies")
    assert part.history("b") == small.history("b")
    assert part.consumed("b") == {"i2"}
    assert part.popularity().tolist() == [0, 0, 1, 0]
    assert [column.tolist() for column in part.pairs()] == [[0], [2]]
    with pytest.raises(UnknownName, match=r"^Unknown user 'a'; there are 1\."):
        part.history("a")
    assert small.users == ("a", "b")


def test_only_nobody_is_a_catalogue_without_logs(small):
    nobody = small.only([])
    assert (nobody.users, nobody.has_logs, nobody.items) == ((), False, small.items)
    assert nobody.popularity().tolist() == [0, 0, 0, 0]


def test_only_knows_its_users_and_no_others(small):
    with pytest.raises(UnknownName, match=r"^Unknown user 'c'; there are 2\."):
        small.only(["a", "c"])


@given(data_sets(), st.randoms())
def test_only_is_the_data_set_of_the_chosen_rows(data, random):
    chosen = [user for user in data.users if random.random() < 0.5]
    part = data.only(random.sample(chosen * 2, k=len(chosen) * 2))
    assert part.users == tuple(user for user in data.users if user in chosen)
    for user in chosen:
        assert part.history(user) == data.history(user)
        assert part.consumed(user) == data.consumed(user)
    assert [row.user_id for row in part.interactions] == [
        row.user_id for row in data.interactions if row.user_id in chosen
    ]
    assert part.fingerprint == data.only(chosen).fingerprint
    assert data.only(data.users).fingerprint == data.fingerprint


@given(data_sets())
def test_views_agree(data):
    users, items = data.pairs()
    rows = list(data.interactions)
    assert [data.users[u] for u in users] == [row.user_id for row in rows]
    assert [data.items[i].item_id for i in items] == [row.item_id for row in rows]
    assert data.popularity().sum() == len(rows)
    assert data.has_logs == bool(rows)
    assert rows == [row for user in data.users for row in data.history(user)]


def test_items_alone(tmp_path):
    write_jsonl(tmp_path / "shop" / "items.jsonl", catalogue(2))
    data = Dataset.load(tmp_path / "shop")
    assert (data.users, data.has_logs, data.domain, data.meta) == ((), False, "generic", {})
    assert data.popularity().tolist() == [0, 0]
    assert list(data.interactions) == []
    assert len(data.fingerprint) == 16


def test_the_fingerprint_sees_items_and_likes(small):
    other = Dataset.from_rows([*catalogue(3), {"item_id": "i3", "title": "New"}], logs(LOG))
    assert other.fingerprint != small.fingerprint
    assert Dataset.from_rows(catalogue(4), logs(LOG)).fingerprint == small.fingerprint
    swapped = Dataset.from_rows(catalogue(4), logs(LOG.replace("a i0 5 10", "a i0 5 40")))
    assert swapped.fingerprint != small.fingerprint


def test_item_rows_become_items():
    rows = [
        {"item_id": 7, "title": " Seven ", "year": 1999.0, "categories": "Drama", "price": "2.5", "shelf": 3},
        {"item_id": 7, "title": "Again"},
        {"item_id": "8", "title": None},
        {"item_id": None, "title": "x"},
        {
            "item_id": "9",
            "title": "Nine",
            "price": "cheap",
            "creator": ["A", "B"],
            "tags": ["a", "", "a", None],
        },
    ]
    data = Dataset.from_rows(rows)
    seven, nine = data.items
    assert (seven.item_id, seven.title, seven.year, seven.price) == ("7", "Seven", "1999", 2.5)
    assert seven.categories == ("Drama",)
    assert seven.model_extra == {"shelf": 3}
    assert (nine.creator, nine.tags, nine.price) == ("A, B", ("a",), None)
    why = {"duplicate item_id": 1, "no title": 1, "no item_id": 1}
    assert data.report.steps[0] == Step("items", 5, 2, why)
    assert data.report.notes == {"price that is no number, emptied": 1}


@pytest.mark.parametrize(
    ("cell", "value"), [("$3", 3.0), ("£ 1,299.50", 1299.5), ("3.50€", 3.5), ("1,5", None), ("$1,5", None)]
)
def test_a_price_may_have_its_currencys_sign(cell, value):
    data = Dataset.from_rows([{"item_id": "1", "title": "One", "price": cell}])
    assert data.items[0].price == value
    assert data.report.notes == ({} if value else {"price that is no number, emptied": 1})


def test_item_objects_are_taken_as_they_are():
    item = Item.model_validate({"item_id": "1", "title": "One", "shelf": "top"})
    assert Dataset.from_rows([item]).items == (item,)


def test_an_empty_catalogue_says_what_was_found():
    with pytest.raises(DataError) as caught:
        Dataset.from_rows([{"item_id": "1", "title": ""}], name="shop")
    assert str(caught.value) == (
        "The catalogue of shop is empty: found 1 rows with no title; add items with a title."
    )
    with pytest.raises(DataError, match="found no rows"):
        Dataset.from_rows([])


@pytest.mark.parametrize(
    ("meta", "domain"),
    [
        ("movies", "movies"),
        ("products (gifts)", "shopping"),
        ("social posts (Q&A)", "social"),
        ("Books, old", "books"),
        ("stamps", "stamps"),
        ("my-shop_2 (since 1999)", "my-shop_2"),
        ("Old stamps", "generic"),
        (5, "5"),
        ("", "generic"),
        (None, "generic"),
    ],
)
def test_domain_of_meta(meta, domain):
    assert domain_of({"domain": meta}) == domain


def test_a_domain_that_is_no_name_is_told(caplog):
    assert domain_of({"domain": ["films"]}) == "generic"
    assert "The domain ['films'] of the data set is no name of a domain" in caplog.text
    caplog.clear()
    assert domain_of({"domain": "books, old"}) == "books"
    assert not caplog.text


def test_domain_argument_wins_over_meta(tmp_path):
    write_jsonl(tmp_path / "items.jsonl", catalogue(1))
    write_lines(tmp_path / "meta.json", ['{"domain": "books"}'])
    assert Dataset.load(tmp_path).domain == "books"
    assert Dataset.load(str(tmp_path), domain="poems").domain == "poems"


def test_unknown_sample():
    with pytest.raises(UnknownName, match=r"^Unknown sample data set 'nope'\."):
        Dataset.load("sample:nope")


@pytest.mark.parametrize("name", ["movies", "books", "music", "games", "travel", "shopping"])
def test_samples_load_without_loss(name):
    if name not in sample_names():
        pytest.skip(f"sample {name} is not written yet")
    data = Dataset.load(f"sample:{name}", cleaning=keep_all())
    assert data.domain == name
    assert data.has_logs
    assert all(not step.why for step in data.report.steps)


def test_a_user_whose_likes_cleaning_dropped_is_not_called_unknown():
    rows = [Interaction("u1", "a", 5.0, 1), Interaction("u1", "b", 4.0, 2), Interaction("u2", "a", 1.0, 3)]
    shop = Dataset.from_rows([Item(item_id=i, title=i) for i in "ab"], rows, cleaning=Cleaning(preference=3))
    for data in (shop, shop.only(["u1"]), shop.before(9)):
        with pytest.raises(DataError, match="'u2' has no liked item left"):
            data.history("u2")
        with pytest.raises(UnknownName, match="Unknown user 'u3'"):
            data.history("u3")


@pytest.mark.parametrize(
    "title", ["\u200b", "\x00", "\u202e", "\u200b \u00a0\u2060", "\ue000", "\u2800", "\u3164\ufe0f"]
)
def test_a_title_that_nobody_sees_is_no_title(title):
    data = Dataset.from_rows([*catalogue(1), {"item_id": "bad", "title": title}])
    assert [item.item_id for item in data.items] == ["i0"]
    assert data.report.steps[0].why == {"no title": 1}


@given(st.text(max_size=4))
def test_a_title_that_can_be_seen_is_a_line_of_a_prompt(title):
    if is_visible(title):
        assert clean_text(title, 100)[0]


def test_a_time_that_pandas_has_none_of_is_no_time():
    rows = [{"user_id": "u", "item_id": f"i{n}", "timestamp": t} for n, t in enumerate(["2024-01-01", "NaT"])]
    data = Dataset.from_rows(catalogue(2), rows)
    assert [like.item_id for like in data.history("u")] == ["i1", "i0"]
    assert all(not step.why for step in data.report.steps)
