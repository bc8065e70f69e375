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
        ("Harry Potter (2005)", "Harry Potter and the Goblet of Fire (2005)", 90),
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


def test_another_year_is_another_film():
    found = INDEX.match("Sabrina (1961)")
    assert (found.item.title, found.near, found.score) == ("Sabrina (1954)", True, 90)
    strict = INDEX.match("Sabrina (1961)", near=False)
    assert (strict.item, strict.nearest.title) == (None, "Sabrina (1954)")
    assert INDEX.match("Harry Potter (1990)").item is None  # two guesses at once


@pytest.mark.parametrize(
    ("year", "exact"), [("", True), ("1995", True), ("1995-03-01", True), ("1990s", True), ("1954", False)]
)
def test_the_year_of_an_item_may_be_a_field_or_unknown(year, exact):
    index = TitleIndex([Item(item_id="1", title="Sabrina", year=year)])
    assert (index.match("Sabrina (1995)", near=False).item is not None) == exact


def test_the_item_of_the_year_is_looked_for_in_looser_titles_too():
    titles = ["Thing (1982)", "The Thing (2011)", "Thing: The Beginning (1951)"]
    index = TitleIndex([Item(item_id=f"id{n}", title=title) for n, title in enumerate(titles)])
    for text, title in [("Thing (2011)", titles[1]), ("Thing (1951)", titles[2])]:
        assert index.match(text, near=False).item.title == title


def test_a_title_in_its_own_capitals_goes_first():
    index = TitleIndex([Item(item_id=f"id{n}", title=title) for n, title in enumerate(["Vips", "VIPS"])])
    assert [index.match(text).item.title for text in ("Vips", "VIPS")] == ["Vips", "VIPS"]
    assert not index.match("VIPS").ambiguous
    assert (index.match("vips").item.title, index.match("vips").ambiguous) == ("Vips", True)


@pytest.mark.parametrize(
    ("text", "title", "ambiguous"),
    [
        ("300", "Quiz Show (1994)", True),
        ("300 (2007)", "300 (2007)", False),
        ("1", "1", False),
        ("Emma", "Emma", True),
        ("Emma (1996)", "Emma (1996)", False),
        ("Emma (2020)", "Emma", True),
    ],
)
def test_what_a_text_may_stand_for_as_well_is_told(text, title, ambiguous):
    rows = {
        "300": "Quiz Show (1994)",
        "9": "300 (2007)",
        "1": "1",
        "a": "Emma (1996)",
        "b": "Emma",
        "c": "Emma",
    }
    found = TitleIndex([Item(item_id=key, title=value) for key, value in rows.items()]).match(text)
    assert (found.item.title, found.ambiguous, found.score) == (title, ambiguous, 100)


def test_an_id_in_other_capitals_is_a_guess_where_it_is_one_items():
    rows = {"SKU-1": "Red lamp", "aB": "Mug", "Ab": "Cup", "SKU-2": "sku-1 refill", "X7": "Bowl", "9": "x7"}
    index = TitleIndex([Item(item_id=key, title=value) for key, value in rows.items()])
    found = index.match(" sku-1 ")
    assert (found.item.title, found.near, found.score) == ("Red lamp", True, 95)
    assert index.match("sku-1", near=False).item is None
    assert index.match("sku-1", near=False).nearest.title == "Red lamp"
    assert index.match("ab").item is None
    assert index.match("x7").item.title == "x7"  # a title is one exactly


def test_a_title_with_itself_in_brackets_is_not_two_items():
    item = Item(item_id="1", title="Léon: The Professional (a.k.a. The Professional) (Léon) (1994)")
    assert not TitleIndex([item]).match("Léon").ambiguous
