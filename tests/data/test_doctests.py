import doctest
import importlib
import pkgutil

import pytest

import llmrec_prompt.data as room

NAMES = [
    m.name for m in pkgutil.walk_packages(room.__path__, "llmrec_prompt.data.") if ".sample" not in m.name
]


@pytest.mark.parametrize("name", NAMES)
def test_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
