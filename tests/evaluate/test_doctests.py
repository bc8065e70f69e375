"""The examples in the docstrings of the evaluation are true."""

import doctest
import importlib
import pkgutil

import pytest

import llmrec_prompt.evaluate as room

MODULES = [found.name for found in pkgutil.walk_packages(room.__path__, f"{room.__name__}.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples():
    found = [
        doctest.testmod(importlib.import_module(f"{room.__name__}.{name}")).attempted
        for name in ("metrics", "comparison")
    ]
    assert min(found) > 3
