import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec_prompt.data import Scaler
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.types import Item


def priced(*prices):
    return [Item(item_id=str(n), title="t", price=price) for n, price in enumerate(prices)]


def test_mean_std():
    scaler = Scaler.fit(priced(1, None, 3), "price")
    assert [scaler.transform(item) for item in priced(1, 2, 3, None)] == [-1.0, 0.0, 1.0, None]
    assert scaler.count == 2


def test_min_max():
    scaler = Scaler.fit(priced(2, 4, 6), "price", "min-max")
    assert [scaler.transform(item) for item in priced(2, 4, 6, 8)] == [0.0, 0.5, 1.0, 1.5]


def test_levels_are_terciles_of_the_catalogue():
    items = priced(*range(1, 10), None)
    assert [Scaler.fit(items, "price").level(item) for item in items] == [
        *["low"] * 3,
        *["medium"] * 3,
        *["high"] * 3,
        "",
    ]


@pytest.mark.parametrize("method", ["mean-std", "min-max"])
def test_a_constant_field_is_zero_and_medium(method):
    items = priced(0.1, 0.1, 0.1)
    scaler = Scaler.fit(items, "price", method)
    assert scaler.transform(items[0]) == 0.0
    assert scaler.level(items[0]) == "medium"


def test_text_years_and_extra_fields():
    items = [
        Item.model_validate({"item_id": "1", "title": "t", "year": y, "stars": s})
        for y, s in [("1990", 2), ("c. 1900", "4")]
    ]
    assert Scaler.fit(items, "year").count == 1
    assert Scaler.fit(items, "stars", "min-max").transform(items[1]) == 1.0


def test_a_field_nobody_has_is_missing_everywhere():
    scaler = Scaler.fit(priced(1), "stars")
    assert (scaler.count, scaler.transform(priced(1)[0]), scaler.level(priced(1)[0])) == (0, None, "")


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_scaling_keeps_the_order(values):
    items = priced(*values)
    for method in ("mean-std", "min-max"):
        scaler = Scaler.fit(items, "price", method)
        scaled = [scaler.transform(item) for item in items]
        assert [s for _, s in sorted(zip(values, scaled, strict=True))] == sorted(scaled)


def test_unknown_method():
    with pytest.raises(ConfigError) as caught:
        Scaler.fit([], "price", "z")
    assert str(caught.value) == "Unknown method 'z'; give 'mean-std' or 'min-max'."
