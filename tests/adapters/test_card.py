import pytest
import yaml

from llmrec_prompt.adapters import Base, Card, Parent
from llmrec_prompt.errors import AdapterError

from .made import BASE, card


def test_a_card_comes_back_as_it_was(tmp_path):
    made = card(
        parents=(Parent(name="general", hash="0123", weight=0.25),),
        metrics={"validation": {"ndcg@10 uniform": 0.5, "users": 100}, "test": {"hr@1": 1}},
        templates={"movies": "0123456789012345", "books": "1234567890123456"},  # YAML reads such as numbers
        recipe={"steps": [{"data": "a"}, {"data": "b"}], "seed": 3},
    )
    made.save(tmp_path)
    assert Card.load(tmp_path) == made
    assert [p.name for p in tmp_path.iterdir()] == ["card.yaml"]


def test_the_file_is_plain_yaml(tmp_path):
    found = yaml.safe_load(card().save(tmp_path).read_text())
    assert found["base"]["hash"] == BASE
    assert found["lora"]["targets"][0] == "q_proj"
    assert str(found["created"]) == "2026-11-24"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "is no YAML"),
        ("- a", "file"),
        ("name: x", "domain: Field required"),
        (None, "has no card.yaml"),
        (b"\xff\xfe", "not UTF-8"),
        ("name: x\ncreated: 2024-02-30", "day is out of range for month"),
        ("[" * 10_000, "nested deeper"),
        ("".join(f"colour{n}: red\n" for n in range(1000)), "and 996 more"),
        ("a: [" + "[[" * 20 + "]]" * 20 + "]", r"\[\.\.\.\]"),
    ],
)
def test_what_is_no_card_is_one_line(tmp_path, text, said):
    if isinstance(text, bytes):
        (tmp_path / "card.yaml").write_bytes(text)
    elif text is not None:
        (tmp_path / "card.yaml").write_text(text)
    with pytest.raises(AdapterError, match=said) as caught:
        Card.load(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_unknown_fields_and_bad_names_are_refused(tmp_path):
    card().save(tmp_path)
    path = tmp_path / "card.yaml"
    path.write_text(path.read_text() + "colour: red\n")
    with pytest.raises(AdapterError, match="colour"):
        Card.load(tmp_path)
    path.write_text(path.read_text().replace("colour: red\n", "").replace("toy-movies", "../up"))
    with pytest.raises(AdapterError, match="name"):
        Card.load(tmp_path)


def test_base_is_compared_without_the_engine_suffix():
    made = card()
    made.check_base(BASE)
    made.check_base(f"{BASE}-f16")
    with pytest.raises(AdapterError, match=r"trained on smollm2 .*llmrec adapt train"):
        made.check_base("0000-f16")
    card(base=Base(ref="hf:org/model", hash="abc", same=("0000",))).check_base("0000-f16")


def test_changed_templates_are_an_error_and_foreign_domains_are_not():
    made = card()
    made.check_template("movies", made.templates["movies"])
    made.check_template("books", "whatever")
    with pytest.raises(AdapterError, match="other templates of 'movies'"):
        made.check_template("movies", "0000")
