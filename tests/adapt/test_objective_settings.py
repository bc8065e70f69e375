import pytest

from llmrec_prompt.adapt import Recipe
from llmrec_prompt.errors import ConfigError

ONE, TWO = [{"data": "x"}], [{"data": "x"}, {"data": "y", "labelled": False}]


def parse(objectives, sources=ONE, **changes):
    stage = {"name": "a", "objectives": dict.fromkeys(objectives, 1), "sources": sources, **changes}
    return Recipe.parse({"stages": [stage]}).stages[0]


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"objectives": ["encode", "adversarial"]}, "give two or more"),
        ({"objectives": ["encode"], "sources": TWO}, "source y is unlabelled; only predictive, adversarial"),
        ({"objectives": ["rank"], "sources": TWO}, "source y is unlabelled"),
        ({"objectives": ["encode", "predictive"], "sources": TWO[1:]}, "need a labelled source"),
        ({"objectives": ["label"], "candidates": 27}, "26 letters"),
        ({"objectives": ["label"]}, "set candidates to 20 or more"),
        ({"objectives": ["yes_no", "label"]}, "cannot be mixed"),
        ({"objectives": ["catalogue", "encode"]}, "cannot be mixed"),
        ({"objectives": ["rank"], "candidates": 1}, "candidates"),
    ],
)
def test_what_cannot_be_meant_is_named(stage, message):
    with pytest.raises(ConfigError, match=message):
        parse(**stage)


@pytest.mark.parametrize(
    "stage",
    [
        {"objectives": ["encode", "adversarial", "predictive"], "sources": TWO},
        {"objectives": ["predictive"], "sources": TWO[1:]},
        {"objectives": ["label"], "candidates": 20},
        {"objectives": ["label"], "sources": [{"data": "x", "validation": 0}]},
        {"objectives": ["encode", "next_item"]},
    ],
)
def test_what_can_be_meant_passes(stage):
    assert set(parse(**stage).objectives) == set(stage["objectives"])
