"""One spelling for every value, in llama.cpp's grammars and in the guides of the transformers backend."""

import json

import pytest

from llmrec_prompt.backends.grammar import gbnf
from llmrec_prompt.errors import BackendError

PLACES = {"enum": [1, 2, 10]}


def lists(count: int) -> dict[str, object]:
    items = {"type": "array", "items": PLACES, "minItems": count, "maxItems": count}
    return {"type": "object", "properties": {"r": items}, "required": ["r"]}


def test_lists_and_objects() -> None:
    number = '("1" | "2" | "10")'
    assert gbnf(PLACES) == f"root ::= {number}"
    assert gbnf(lists(1)) == f'root ::= "{{" "\\"r\\": " "[" {number} "]" "}}"'
    assert gbnf(lists(3)) == f'root ::= "{{" "\\"r\\": " "[" ({number} ", "){{2}} {number} "]" "}}"'


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "string"},
        {"enum": []},
        {"type": "array", "items": PLACES},
        {"type": "array", "items": PLACES, "minItems": 1, "maxItems": 2},
        {"type": "object", "properties": {"a": PLACES}, "required": []},
        {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]},
    ],
)
def test_what_is_not_said_here_is_none(schema) -> None:
    assert gbnf(schema) is None


@pytest.mark.hf
@pytest.mark.llama
@pytest.mark.parametrize("values", [["yes", "no"], ['a "b" \\ c', "naïve\n☃"], [None, True, -1.5]])
def test_any_value_can_be_said_by_either(engine, values) -> None:
    messages = [{"role": "user", "content": "Choose."}]
    for name in ("llama-smollm2", "hf-smollm2"):
        assert engine(name).generate(messages, schema={"enum": values}, max_tokens=40) in values


@pytest.mark.hf
@pytest.mark.llama
@pytest.mark.parametrize("name", ["llama-smollm2", "hf-smollm2"])
def test_a_list_is_as_long_as_it_is_to_be(engine, name) -> None:
    messages = [{"role": "user", "content": "Order: 1. Alien 2. Heat 10. Toy Story. For a fan of robots."}]
    answer = engine(name).generate(messages, schema=lists(3))
    assert list(answer) == ["r"]
    assert len(answer["r"]) == 3
    assert set(answer["r"]) <= {1, 2, 10}


@pytest.mark.hf
def test_a_schema_that_cannot_be_kept_to(engine) -> None:
    backend = engine("hf-smollm2")
    messages = [{"role": "user", "content": "Say it."}]
    with pytest.raises(BackendError, match=r"cannot be kept to the JSON schema: .*nonsense"):
        backend.generate(messages, schema={"type": "nonsense"})
    assert json.dumps(backend.generate(messages, schema=PLACES)) in ("1", "2", "10")
