import pytest
from hypothesis import given

from llmrec_prompt.data import Dataset, TitleIndex
from llmrec_prompt.errors import DataError
from llmrec_prompt.types import Item

from .strategies import data_sets, shared_set

TITLES = [
    "Alien Resurrection (1997)",
    "Aliens (1986)",
    "Alien (1979)",
    "Matrix Reloaded, The (2003)",
    "Matrix, The (1999)",
    "Godfather: Part II, The (1974)",
    "Godfather, The (1972)",
    "Lord of the Rings: The Two Towers, The (2002)",
    "Harry Potter and the Goblet of Fire (2005)",
    "Sabrina (1954)",
    "Sabrina (1995)",
    "Toy Story 2 (1999)",
    "Seven (a.k.a. Se7en) (1995)",
    "Misérables, Les (1998)",
    "花样年华",
    "!!!",
    "1917 (2019)",
    "Boot, Das (Boat, The) (1981)",
]
INDEX = TitleIndex([Item(item_id=f"id{n}", title=title) for n, title in enumerate(TITLES)])


@pytest.mark.parametrize(
    ("text", "title", "score"),
    [
        ("id4", "Matrix, The (1999)", 100),
        ("Alien", "Alien (1979)", 100),
        ("aliens", "Aliens (1986)", 100),
        ("The Matrix", "Matrix, The (1999)", 100),
        (" the matrix (1999) ", "Matrix, The (1999)", 100),
        ("Matrix", "Matrix, The (1999)", 100),
        ("Godfather", "Godfather, The (1972)", 100),
        ("Godfather: Part II", "Godfather: Part II, The (1974)", 100),
        ("Lord of the Rings", "Lord of the Rings: The Two Towers, The (2002)", 95),
        ("Se7en", "Seven (a.k.a. Se7en) (1995)", 95),
        ("Das Boot", "Boot, Das (Boat, The) (1981)", 95),
        ("Harry Potter", "Harry Potter and the Goblet of Fire (2005)", 90),
        ("Sabrina", "Sabrina (1954)", 100),
        ("Sabrina (1995)", "Sabrina (1995)", 100),
        ("Les Misérables", "Misérables, Les (1998)", 100),
        ("花样年华", "花样年华", 100),
        ("!!!", "!!!", 100),
        ("1917", "1917 (2019)", 100),
    ],
)
def test_sure_matches(text, title, score):
    found = INDEX.match(text)
    assert found.item is found.nearest
    assert (found.item.title, found.score) == (title, score)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Godfater", "Godfather, The (1972)"),
        ("Sabrinna (1995)", "Sabrina (1995)"),
        ("matrx", "Matrix, The (1999)"),
    ],
)
def test_near_misses(text, title):
    found = INDEX.match(text, threshold=80)
    assert found.item.title == title
    assert 80 <= found.score < 100


@pytest.mark.parametrize("text", ["Qwertyuiop", "", "  ", "Toy Story 7", "Resurrection", "the"])
def test_no_match_still_names_the_nearest(text):
    found = INDEX.match(text)
    assert found.item is None
    assert found.score < 85
    assert found.nearest.title in TITLES


@given(data_sets())
def test_every_own_id_and_title_is_found(data):
    index = TitleIndex(data.items)
    for item in data.items:
        assert index.match(item.item_id).item == item
        assert index.match(item.title).score == 100


def test_no_items():
    with pytest.raises(DataError, match="No items to match titles against; load a catalogue first"):
        TitleIndex([])


def test_real_titles_find_themselves():
    data = Dataset.load(shared_set("movielens-small"))
    index = TitleIndex(data.items)
    assert all(index.match(item.title).item.title.casefold() == item.title.casefold() for item in data.items)
    for text, title in [("Alien", "Alien (1979)"), ("The Matrix", "Matrix, The (1999)")]:
        assert index.match(text).item.title == title
    assert "Lord of the Rings" in index.match("Lord of the Rings").item.title
    assert index.match("Qwertyuiop").item is None
