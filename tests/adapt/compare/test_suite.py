from pathlib import Path

import pytest
import yaml

from llmrec_prompt.adapt.compare.methods import BUILT
from llmrec_prompt.adapt.compare.suite import DEFAULT, METHODS, Suite
from llmrec_prompt.errors import ConfigError

SUITES = sorted((Path(__file__).parents[3] / "eval" / "suites").glob("adapt_*.yaml"))
SMALL = {"data": "films", "sources": ["general"]}


def load(tmp_path, **values):
    path = tmp_path / "My suite.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **values}))
    return Suite.load(path)


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_the_suites_in_the_repository_can_be_read(path):
    assert Suite.load(path).methods


def test_there_are_suites_to_read():
    assert SUITES


def test_every_method_can_be_built():
    assert set(METHODS) == set(BUILT)


def test_what_is_left_out_has_a_value(tmp_path):
    suite = load(tmp_path)
    assert (suite.name, suite.model, suite.methods) == ("my-suite", "smollm2", DEFAULT)
    assert suite.ordered_shots == (0, 16, 64, 256, "all")


@pytest.mark.parametrize(
    ("file", "name"), [("My_suite (1)", "my_suite-1"), ("_draft", "draft"), ("Ω", "suite")]
)
def test_any_file_gives_a_suite_its_name(tmp_path, file, name):
    path = tmp_path / f"{file}.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    assert Suite.load(path).name == name


def test_shots_come_from_few_to_all(tmp_path):
    assert load(tmp_path, shots=["all", 64, 8]).ordered_shots == (8, 64, "all")


@pytest.mark.parametrize(("shots", "validation"), [(0, 0), (8, 16), (64, 16), (256, 60), ("all", 60)])
def test_few_shots_have_few_validation_users(tmp_path, shots, validation):
    target = load(tmp_path).target(shots)
    assert target.validation == validation
    assert target.users == (None if shots == "all" else shots)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"shot": [1]}, "Unknown key 'shot'. Did you mean 'shots'?"),
        ({"methods": ["bert"]}, "'bert' must be among base"),
        ({"methods": ["base", "base"]}, "name something twice"),
        ({"shots": [-1]}, "0 or more, or all"),
        ({"shots": ["most"]}, "shots.0"),
        ({"sources": []}, "'source-only' needs sources"),
        ({"sources": [], "methods": ["composed"]}, "'composed' needs sources"),
        ({"methods": ["adversarial"]}, "'adversarial' needs replay"),
        ({"recipe": "general.yaml"}, "not both"),
        ({"stage": {"stepps": 3}}, "Unknown key 'stage.stepps'. Did you mean 'stage.steps'?"),
        ({"composed": {"from": []}}, "Unknown key 'composed.from'"),
        ({"lora": {"rr": 4}}, "Unknown key 'lora.rr'. Did you mean 'lora.r'?"),
        ({"name": "My suite"}, "name: A name is lower-case letters"),
        ({"data": None}, "data: Input should be a valid string (found None)"),
        ({"stage": {"sources": []}}, "stage.sources is decided by the comparison"),
        ({"catalogue": {"lr": -1}}, "catalogue.lr"),
        ({"composed": {"method": "average"}}, "composed.method"),
        ({"negatives": ["hard"]}, "negatives.0"),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_line(tmp_path, values, message):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, **values)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["- a list", "a: [1", ""])
def test_what_is_no_suite_at_all(tmp_path, text):
    path = tmp_path / "suite.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="suite"):
        Suite.load(path)
    with pytest.raises(ConfigError, match="Cannot read"):
        Suite.load(tmp_path / "none.yaml")
