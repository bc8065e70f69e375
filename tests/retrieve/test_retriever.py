import numpy as np
import pytest

from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import DataError
from llmrec_prompt.retrieve import Retriever
from llmrec_prompt.types import Item

NAMES = "abcdefgh"
DATA = Dataset.from_rows([{"item_id": name, "title": name.upper()} for name in NAMES])
HISTORY = [Item(item_id="a", title="A")]


class Best:
    """A scorer that likes the named items, the first most, and the rest not at all."""

    settings: dict = {}  # noqa: RUF012

    def __init__(self, liked, name="best"):
        self.name = name
        self._scores = np.array([1.0 + len(liked) - liked.index(n) if n in liked else 0.0 for n in NAMES])
        self.asked = []

    def score(self, history):
        self.asked.append(history)
        return self._scores


def retrieve(*likes, size=4, exclude=()):
    found = Retriever(DATA, [Best(liked) for liked in likes], size=size).retrieve(HISTORY, exclude)
    return "".join(item.item_id for item in found)


def test_scorers_take_turns_best_first():
    assert retrieve("abcd", "hgfe") == "ahbg"
    assert retrieve("abcd", "hgfe", "defg", size=6) == "ahdbge"
    assert retrieve("abcd", size=3) == "abc"


def test_what_two_scorers_like_is_taken_once():
    assert retrieve("abcd", "abef", size=5) == "abced"
    assert retrieve("abcd", "abcd") == "abcd"


def test_excluded_items_never_appear_and_do_not_cost_a_turn():
    assert retrieve("abcd", "hgfe", exclude=("a", "g", "nobody's")) == "bhcf"


def test_a_flat_scorer_has_no_turn():
    assert retrieve("", "hgfe", size=3) == "hgf"
    assert retrieve("hgfe", "", size=3) == "hgf"


def test_a_scorer_that_is_flat_over_what_is_allowed_has_no_turn():
    assert retrieve("a", "hgfe", size=3, exclude=("a",)) == "hgf"


def test_equal_scores_are_taken_in_catalogue_order():
    assert retrieve("h", size=4) == "habc"


def test_all_flat_is_an_error_that_names_the_scorers():
    with pytest.raises(DataError, match="cannot tell the items apart: all scores of one, two are equal"):
        Retriever(DATA, [Best("", "one"), Best("", "two")], size=3).retrieve(HISTORY)


def test_everything_excluded_is_an_error():
    with pytest.raises(DataError, match="Nothing is left to recommend: all 8 items"):
        retrieve("abcd", exclude=NAMES)


@pytest.mark.parametrize("size", [8, 9, 1000])
def test_a_size_larger_than_the_catalogue_gives_all_of_it(size):
    assert sorted(retrieve("hg", "cd", size=size)) == list(NAMES)
    assert sorted(retrieve("", size=size, exclude=("a", "b"))) == list("cdefgh")


def test_one_item_left_is_that_item():
    assert retrieve("", exclude="abcdefg") == "h"


def test_scorers_see_the_history_and_nothing_else():
    scorer = Best("ab")
    Retriever(DATA, [scorer], size=2).retrieve(HISTORY, ("c",))
    assert scorer.asked == [HISTORY]
