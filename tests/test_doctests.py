"""The examples in docstrings are true."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import llmrec_prompt as package

ROOT = Path(package.__file__).parent
EXAMPLE = re.compile(r"^\s+>>> ", re.MULTILINE)


def with_examples():
    """Modules that have any: the others need not be imported."""
    for found in pkgutil.walk_packages(package.__path__, "llmrec_prompt."):
        path = ROOT.parent / found.name.replace(".", "/")
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if EXAMPLE.search(path.read_text(encoding="utf-8")):
            yield found.name


@pytest.mark.parametrize("name", [*with_examples()])
def test_examples_are_true(name, tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path))
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        pytest.skip(f"{name} is NOT TESTED: {error.name} is not installed")
    done = doctest.testmod(module)
    assert done.attempted
    assert not done.failed
