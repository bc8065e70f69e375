"""What is kept of one choice of parts is no answer for another."""

import argparse
from pathlib import Path

import pytest
import tune

from llmrec_prompt import Dataset
from llmrec_prompt.backends import load_backend
from llmrec_prompt.data import write_two_file

PARTS = ["popularity", "bm25", "co-occurrence"]


@pytest.fixture
def given(tmp_path, monkeypatch):
    write_two_file(Dataset.load("sample:movies"), tmp_path / "data" / "films")
    monkeypatch.setitem(tune.TESTED, "films", 2)
    values = {"data": tmp_path / "data", "users": 3, "model": "fake:overlap", "calibration": "catalogue"}
    return argparse.Namespace(**values, adapter=None, parts=PARTS)


def asked(given, backend="fake:overlap"):
    rows = tune.collect(given, load_backend(backend), "films", "uniform")
    return [list(row["parts"]) for row in rows]


def test_as_many_parts_are_not_the_same_parts(given):
    for left_out in PARTS:
        given.parts = [part for part in PARTS if part != left_out]
        assert asked(given) == [given.parts] * 3
        assert asked(given) == [given.parts] * 3
    assert len(list(Path("runs/tune").iterdir())) == 3


def test_another_model_is_asked_anew(given):
    asked(given)
    asked(given, "fake:random")
    assert len(list(Path("runs/tune").iterdir())) == 2
