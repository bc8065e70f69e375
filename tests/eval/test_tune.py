"""What is kept of one choice of parts is no answer for another."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import tune

from llmrec_prompt import Dataset
from llmrec_prompt.backends import load_backend
from llmrec_prompt.data import leave_last_out, write_two_file
from llmrec_prompt.evaluate.protocols import Ask, make_exam

PARTS = ["popularity", "bm25", "co-occurrence"]


@pytest.fixture
def given(tmp_path, monkeypatch):
    write_two_file(Dataset.load("sample:movies"), tmp_path / "data" / "films")
    monkeypatch.setitem(tune.TESTED, "films", 2)
    monkeypatch.setattr(tune, "COLD", 2)
    values = {"data": tmp_path / "data", "users": 3, "model": "fake:overlap", "calibration": "catalogue"}
    return argparse.Namespace(**values, adapter=None, parts=PARTS, earlier=False, history=None)


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


def test_nobody_is_asked_whom_a_suite_tests(given):
    data = Dataset.load(given.data / "films")
    given.history = 2
    tested = tune.tested_users("films", data)
    for protocol in ("leave-last-out", "cold-user", "cold-item"):
        assert {*make_exam(data, Ask(protocol, users=2, candidates=5)).targets} <= tested
    _, cases = tune.questions_of(given, "films", data)
    assert cases
    assert tested.isdisjoint(case.user_id for case in cases)
    assert {len(case.history) for case in cases} == {2}


def test_an_earlier_like_of_tested_users_is_asked_for(given):
    data = Dataset.load(given.data / "films")
    last = {case.user_id: case for case in leave_last_out(data, users=2, seed=0).cases}
    given.earlier = True
    train, cases = tune.questions_of(given, "films", data)
    assert {case.user_id for case in cases} == set(last)
    for case in cases:
        assert case.target == last[case.user_id].history[-1]
        hidden = {case.target, last[case.user_id].target}
        assert not hidden & {item.item_id for item in train.history_items(case.user_id)}


def test_learnt_weights_beat_default_ones_where_these_mislead():
    """What the default says of most importance is chance; what it hardly reads decides."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(80):
        chance, sign = rng.normal(size=(2, 20)).tolist()
        best = int(np.argmax(sign))
        parts = {"likelihood": chance, "embedding": sign, "popularity": chance, "co-occurrence": sign}
        rows.append({"target": best, "met": [True] * 20, "parts": parts})
    start = {"likelihood": 1.0, "embedding": 0.5, "popularity": 1.0, "co-occurrence": 0.25}
    default, own = tune.learnt(tune.Parts(rows, new=False), start, draw=0)
    assert own > default + 0.1
