"""Rows in memory: objects and dicts are taken, anything else is one clear line."""

from collections import namedtuple

import pytest

from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import DataError
from llmrec_prompt.types import Interaction, Item

CUP = {"item_id": 1, "title": "Cup"}


def test_dicts_and_objects_give_the_same():
    log = [{"user_id": 7, "item_id": 1.0, "timestamp": "1970-01-02"}, {"user_id": "8", "item_id": "1"}]
    data = Dataset.from_rows([CUP], log)
    same = Dataset.from_rows(
        [Item(item_id="1", title="Cup")], [Interaction("7", "1", timestamp=86400.0), Interaction("8", "1")]
    )
    assert data.fingerprint == same.fingerprint
    assert list(data.interactions) == list(same.interactions)


def test_rows_of_another_library_are_taken_by_their_names():
    row = namedtuple("row", ["user_id", "item_id", "rating"])
    assert Dataset.from_rows([CUP], [row(7, 1, 4.0)]).history("7") == (Interaction("7", "1", 4.0),)


BAD = [
    ([("1", "x")], [], r"^Item 0 is a tuple; give an Item, or a dict with item_id and title \(of a pandas"),
    ([CUP, "title"], [], r"^Item 1 is a str; "),
    (
        [CUP],
        [("u", "1")],
        r"^Interaction 0 is \('u', '1'\); give an Interaction, or a dict with user_id, item",
    ),
    ([CUP], [{"user": "u", "item_id": "1"}], r"^Interaction 0 is \{'user': 'u', .*with user_id, item_id and"),
    (
        [CUP, {"item_id": "1", "title": "x\ud83d"}],
        [],
        r"^Item 1 has half a character, such as \\ud83d alone: ",
    ),
    ([CUP | {"tags": ["\ud83d"]}], [], r"^Item 0 has half a character"),
    ([CUP | {"shelf": {"\ud83d": 1}}], [], r"^Item 0 has half a character"),
    ([CUP], [Interaction("\ud83d", "1")], r"^Interaction 0 has half a character"),
]


@pytest.mark.parametrize(("items", "interactions", "message"), BAD)
def test_other_rows_are_refused(items, interactions, message):
    with pytest.raises(DataError, match=message) as caught:
        Dataset.from_rows(items, interactions)
    str(caught.value).encode()


def test_nobody_is_no_user():
    data = Dataset.from_rows([CUP], [{"user_id": None, "item_id": 1}, {"user_id": "u", "item_id": 1}])
    assert data.report.steps[1].why == {"no user_id": 1}
