"""`llmrec adapt compose` and `compare` as commands; what they compute is tested in tests/adapt."""

import pytest
import yaml

from llmrec_prompt.adapters import Card, verify
from tests.adapters.made import card, write_adapter


@pytest.fixture
def two(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_ADAPTERS", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("films", "books")):
        write_adapter(tmp_path / "home" / name, card(name), seed=seed, dtype="BF16")
    return "compose", "mix", "--of", "films", "--of", "books"


def test_two_adapters_become_one(llmrec, two, tmp_path):
    done = llmrec("adapt", *two, "--weights", "0.7,0.3", "--json")
    assert done.code == 0, done.err
    assert done.json["parents"] == {"films": 0.7, "books": 0.3}
    assert done.json["rank"] == 8
    folder = tmp_path / "adapters" / "mix"
    assert all(check.ok for check in verify(folder))
    assert Card.load(folder).objective == "composed"


def test_a_table_for_people_and_the_error_of_a_cut(llmrec, two):
    done = llmrec("adapt", *two, "--method", "arithmetic", "--weights", "-0.5", "--rank", 2)
    assert done.code == 0, done.err
    assert "films" in done.out
    assert "1.500" in done.out
    assert "-0.500" in done.out
    assert "rank 2, error 0." in done.err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--method", "hub"), "give --data"),
        (("--method", "average"), "Unknown method of composition"),
        (("--weights", "a,b"), "write numbers"),
        (("--weights", "1"), "1 weights for 2 adapters"),
        (("--of", "musik"), "Unknown adapter 'musik'"),
    ],
)
def test_what_cannot_be_meant_is_one_line(llmrec, two, more, message):
    done = llmrec("adapt", *two, *more)
    assert done.code == 1
    assert message in done.err
    assert done.err.strip().count("\n") == 0


def test_a_name_is_not_taken_twice_unless_forced(llmrec, two):
    assert llmrec("adapt", *two).code == 0
    assert "--force" in llmrec("adapt", *two).err
    assert llmrec("adapt", *two, "--force").code == 0


@pytest.fixture
def small_suite(tmp_path):
    """Only what needs no training: scorers, and a fake model's states."""
    values = {"data": "sample:movies", "model": "fake:overlap", "embedder": "backend"}
    values |= {"methods": ["base", "embedding", "popularity", "item-knn"], "shots": [0, 4, "all"]}
    values |= {"test": 6, "validation": 2, "candidates": 10}
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_a_comparison_and_its_files(llmrec, small_suite, tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "run"
    done = llmrec("adapt", "compare", small_suite, "--out", out, "--json")
    assert done.code == 0, done.err
    assert done.json["name"] == "small"
    assert set(done.json["results"]) == {"uniform", "popular"}
    assert set(done.json["results"]["uniform"]["popularity"]) == {"4", "all"}
    for name in ("report.json", "report.md", "curves.svg", "rows.jsonl", "manifest.json"):
        assert (out / name).is_file()
    again = llmrec("adapt", "compare", small_suite, "--out", out)
    assert again.code == 1
    assert "--resume" in again.err
    shown = llmrec("adapt", "compare", small_suite, "--out", out, "--resume")
    assert "popularity" in shown.out
    assert "all (" in shown.out
    fewer = llmrec("adapt", "compare", small_suite, "--out", out, "--resume", "--set", "shots=[4]", "--json")
    assert set(fewer.json["results"]["uniform"]["popularity"]) == {"4"}
    other = llmrec("adapt", "compare", small_suite, "--out", out, "--resume", "--set", "stage.lr=0.1")
    assert other.code == 1
    assert "stage" in other.err


@pytest.mark.parametrize("value", ["[1", "*a", "!!python/object:os.system x"])
def test_a_change_that_is_no_yaml_is_one_line(llmrec, small_suite, value):
    done = llmrec("adapt", "compare", small_suite, "--set", f"shots={value}")
    assert done.code == 1
    assert done.err.startswith(f"Error: --set 'shots={value}': '{value}' is no YAML. Write for example")
    assert done.err.count("\n") == 1


def test_a_suite_that_cannot_be_meant_is_one_line(llmrec, tmp_path):
    path = tmp_path / "suite.yaml"
    path.write_text("data: films\nmethods: [bert]\n")
    done = llmrec("adapt", "compare", path)
    assert done.code == 1
    assert "'bert' must be among" in done.err
