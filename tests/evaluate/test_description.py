"""The table of all metrics: from rankings and a data set, and from plain lists."""

import numpy as np
import pytest

from llmrec_prompt.data import Cleaning, Dataset
from llmrec_prompt.errors import DataError
from llmrec_prompt.evaluate import lists
from llmrec_prompt.evaluate.description import Facts, describe, describe_lists, user_values
from llmrec_prompt.rank import Request, rank
from llmrec_prompt.types import Interaction, Item

from ..rank.toys import table

ITEMS = [
    Item(item_id="a", title="A", categories=("Horror", "Comedy"), tags=("x",)),
    Item(item_id="b", title="B", categories=("Horror",)),
    Item(item_id="c", title="C", categories=("Drama",)),
    Item(item_id="d", title="D"),
]
LOGS = {"u1": "ab", "u2": "abc", "u3": "a"}
DATA = Dataset.from_rows(
    ITEMS,
    [Interaction(user, i, timestamp=n) for user, liked in LOGS.items() for n, i in enumerate(liked)],
    cleaning=Cleaning(preference="none"),
)


def rankings(values, users=LOGS):
    return [rank(table(values), DATA.history_items(user), DATA.items, Request(user=user)) for user in users]


def test_facts_are_those_of_the_logs_and_the_catalogue():
    facts = Facts.of(DATA)
    assert facts.popularity == {"a": 3, "b": 2, "c": 1, "d": 0}
    assert facts.users == 3
    assert set(facts.labels["a"]) == {"Horror", "Comedy"}
    plain = Dataset.from_rows([item.model_copy(update={"categories": ()}) for item in ITEMS])
    assert Facts.of(plain).labels["a"] == ("x",)


def test_users_without_a_like_do_not_make_items_rare():
    """As after a cut in time: the data set names them, and nothing of theirs is left."""
    cut = DATA.without([("u3", "a")])
    assert len(cut.users) == 3
    assert Facts.of(cut).users == 2
    assert user_values(["a"], ["b"], Facts.of(cut), 1)["novelty@1"] == 0  # both have it


def test_every_metric_is_in_the_table_under_its_name():
    values = {"a": 4.0, "b": 3.0, "c": 3.0, "d": 1.0}
    found = describe(rankings(values), DATA, 2, vectors={"a": np.array([1.0, 0]), "d": np.array([0.0, 1])})
    assert set(found) == {
        "coverage@2", "gini@2", "diversity@2", "vector_diversity@2", "novelty@2", "popularity@2",
        "popularity_lift@2", "group_popularity_lift@2", "miscalibration@2", "event:tied",
    }  # fmt: skip
    assert found["event:tied"]["value"] == 1
    assert found["vector_diversity@2"] == {"value": None, "users": 0, "undefined": 3}


def test_values_are_the_means_of_the_users_values():
    values = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}
    ids = ["d", "c", "b", "a"]
    found = describe(rankings(values), DATA, 3)
    facts = Facts.of(DATA)
    per_user = [user_values(ids, list(liked), facts, 3) for liked in LOGS.values()]
    for name in per_user[0]:
        known = [row[name] for row in per_user if row[name] is not None]
        assert found[name]["value"] == pytest.approx(np.mean(known))
        assert found[name]["users"] + found[name]["undefined"] == 3
    assert found["coverage@3"]["value"] == 0.75
    own = [np.mean([facts.popularity[i] for i in liked]) for liked in LOGS.values()]
    assert found["group_popularity_lift@3"]["value"] == pytest.approx(lists.group_lift([1.0] * 3, own))
    assert "event:tied" not in found


def test_plain_lists_give_the_same_table():
    values = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}
    histories = {user: list(liked) for user, liked in LOGS.items()}
    plain = describe_lists({user: ["d", "c", "b", "a"] for user in LOGS}, histories, Facts.of(DATA), k=2)
    assert plain == describe(rankings(values), DATA, 2)


def test_users_that_cannot_be_described():
    values = dict.fromkeys("abcd", 1.0)
    with pytest.raises(DataError, match="a user twice"):
        describe(rankings(values, ["u1", "u1"]), DATA)
    with pytest.raises(DataError, match="no lists"):
        describe([], DATA)
    stranger = rank(table(values), ITEMS[:1], DATA.items, Request(user="nobody"))
    with pytest.raises(DataError, match="user 'nobody' in the rankings"):
        describe([stranger], DATA)
    with pytest.raises(DataError, match="user 'u9' without a history"):
        describe_lists({"u9": ["a"]}, {}, Facts.of(DATA))
