import os

import pytest

from llmrec_prompt.backends import cores

AFFINITY = hasattr(os, "sched_setaffinity")


@pytest.fixture(autouse=True)
def nothing_wanted(monkeypatch, tmp_path):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(cores, "QUOTA", tmp_path / "cpu.max")


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", None), ("100000 100000", 1), ("50000 100000", 1), ("9900000 100000", None), ("?", None)],
)
def test_a_containers_quota_counts(tmp_path, quota, expected):
    (tmp_path / "cpu.max").write_text(quota)
    found = cores.usable_cores()
    (tmp_path / "cpu.max").unlink()
    assert found == (expected or cores.usable_cores())


@pytest.mark.skipif(not AFFINITY, reason="this system has no affinity")
def test_no_more_than_the_process_may_use():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert cores.usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(("wanted", "found"), [("3", 3), ("4,2", 4), ("0", None), ("many", None)])
def test_what_torch_goes_by_counts_first(monkeypatch, wanted, found):
    usual = cores.usable_cores()
    monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    assert cores.usable_cores() == (found or usual)
