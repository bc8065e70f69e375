import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec_prompt.data import derive_interests
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.types import Item


def items(*categories, creator=""):
    return [
        Item(item_id=str(n), title="t", categories=tuple(c.split()), creator=creator)
        for n, c in enumerate(categories)
    ]


def test_later_items_weigh_more():
    found = derive_interests(items("old", "new"), half_life=1)
    assert found.categories == (("new", pytest.approx(2 / 3)), ("old", pytest.approx(1 / 3)))


def test_the_top_is_cut_after_normalising_and_ties_go_by_name():
    found = derive_interests(items("d c b a", creator="Ann"), top=2)
    assert found.categories == (("a", 0.25), ("b", 0.25))
    assert found.creators == (("Ann", 1.0),)


def test_nothing_gives_nothing():
    assert derive_interests([]) == derive_interests(items("", "")) == type(derive_interests([]))()


@given(st.lists(st.sampled_from(["a", "b", "a b", "", "c"]), max_size=300), st.floats(1e-3, 1e3))
def test_weights_are_sorted_shares(history, half_life):
    weights = [w for _, w in derive_interests(items(*history), half_life=half_life, top=9).categories]
    assert weights == sorted(weights, reverse=True)
    assert not weights or math.isclose(sum(weights), 1.0) or sum(weights) == 0.0


@pytest.mark.parametrize(("half_life", "top"), [(0, 3), (-1.0, 3), (float("nan"), 3), (10, -1)])
def test_bad_settings(half_life, top):
    with pytest.raises(ConfigError) as caught:
        derive_interests([], half_life=half_life, top=top)
    assert str(caught.value) == (
        f"half_life is {half_life} and top is {top}; give half_life > 0 and top >= 0."
    )
