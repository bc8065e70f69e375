import numpy as np
import pytest

from llmrec_prompt.data import Dataset, Entries
from llmrec_prompt.errors import DataError
from llmrec_prompt.types import Item

from .strategies import shared_set

ROWS = {"300": "Quiz Show (1994)", "f": "300 (2007)", "t": "Titanic (1997)", "SKU-1": "Red lamp"}
FILMS = Dataset.from_rows([Item(item_id=key, title=title, year="") for key, title in ROWS.items()])


def read(entries, *, near=True, films=FILMS):
    items, events = Entries(films).read(entries, "history", near=near)
    return [item.title for item in items], dict(events)


def test_another_year_is_near_in_a_history_and_as_typed_elsewhere():
    assert read(["Titanic (1943)"]) == (["Titanic (1997)"], {"near_match": 1})
    assert read(["Titanic (1943)"], near=False) == (["Titanic (1943)"], {"typed_as_is": 1})
    assert read(["titanic", "Titanic (1997)"], near=False) == (["Titanic (1997)"] * 2, {})


def test_an_id_that_is_a_title_too_is_counted():
    assert read(["300"]) == (["Quiz Show (1994)"], {"ambiguous_text": 1})
    assert read([300, np.int64(300), "300 (2007)"]) == (["Quiz Show (1994)"] * 2 + ["300 (2007)"], {})


def test_an_id_in_other_capitals_is_near():
    assert read(["sku-1"]) == (["Red lamp"], {"near_match": 1})
    assert read(["sku-1"], near=False) == (["sku-1"], {"typed_as_is": 1})


def test_an_item_with_the_id_of_another_is_an_error():
    other = Item(item_id="t", title="Life of Brian (1979)")
    words = (
        r"history has an item 't' titled 'Life of Brian \(1979\)', but .* is 'Titanic \(1997\)'\. Give the id"
    )
    with pytest.raises(DataError, match=words):
        read([other])


def test_an_item_that_says_more_than_the_catalogues_is_the_catalogues():
    entries = Entries(FILMS)
    items, events = entries.read(
        [Item(item_id="t", title="Titanic (1997)", year="1997")], "history", near=True
    )
    assert items[0] is FILMS.item("t")
    assert events == {"catalogue_item": 1}
    for same in (FILMS.item("t"), FILMS.item("t").model_copy()):
        assert entries.read([same], "history", near=True) == ([FILMS.item("t")], {})
    assert read([Item(item_id="new", title="Titanic (1943)")]) == (["Titanic (1943)"], {"typed_as_is": 1})


@pytest.mark.parametrize("text", ["\udcff bad", "cut \ud83d"])
def test_half_a_character_is_an_error(text):
    with pytest.raises(DataError, match=r"history has .* with half a character in it"):
        read([text])


@pytest.mark.parametrize("entries", [None, 5, b"Alien", FILMS.item("t")])
def test_no_list_is_an_error(entries):
    with pytest.raises(DataError, match=r"history is .*; give a list of titles, ids or items"):
        read(entries)


def test_real_texts_that_stand_for_several():
    films = Dataset.load(shared_set("movielens-small"))
    assert read(["300", "1408"], films=films)[1] == {"ambiguous_text": 2}
    assert read(["Titanic (1943)"], films=films, near=False)[1] == {"typed_as_is": 1}
    places = Dataset.load(shared_set("restaurants-mx"))
    assert read(["VIPS", "Vips"], films=places) == (["VIPS", "Vips"], {})
