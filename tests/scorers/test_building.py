"""Scorers by name."""

import subprocess
import sys

import pytest

from llmrec_prompt.backends.fake import FakeBackend
from llmrec_prompt.errors import UnknownName
from llmrec_prompt.scorers import NEED_LOGS, SCORERS, Ingredients, build_scorer

from .small import PROMPTER, dataset, item

DATA = dataset("red, blue, green", "u1 red blue\n")


def given(**more):
    return Ingredients(DATA, PROMPTER, lambda: FakeBackend.from_name("overlap"), embedder="backend", **more)


@pytest.mark.parametrize("name", SCORERS)
def test_each_name_builds_a_scorer_of_that_name(name, tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path))
    scorer = build_scorer(name, given())
    assert scorer.name == name
    assert scorer.score([item("red")]).shape == (3,)
    assert isinstance(scorer.settings, dict)


def test_the_seed_reaches_the_random_scorer():
    assert build_scorer("random", given(seed=5)).settings == {"seed": 5}


def test_a_misspelt_name_says_which_is_meant():
    with pytest.raises(
        UnknownName, match=r"Unknown scorer 'bm-25'\. Did you mean 'bm25'\? Available: als, bm25, "
    ):
        build_scorer("bm-25", given())


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("lstm", "torch", "hf"),
        ("sasrec", "torch", "hf"),
        ("als", "implicit", "baselines"),
        ("bpr", "implicit", "baselines"),
    ],
)
def test_what_is_missing_is_said_with_how_to_get_it(name, package, extra):
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from tests.scorers.test_building import given\n"
        "from llmrec_prompt.scorers import build_scorer\n"
        f"build_scorer({name!r}, given())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip().splitlines()[-1] == (
        f"llmrec_prompt.errors.MissingExtra: The scorer {name} needs extra packages. "
        f'Run: pip install "llmrec-prompt[{extra}]"'
    )


def test_what_needs_logs_is_a_scorer():
    assert set(NEED_LOGS) < set(SCORERS)
