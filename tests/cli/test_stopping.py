"""What is said after Ctrl-C."""

import os
import signal
import threading

import pytest

from llmrec_prompt.cli import stopped


@pytest.fixture
def waits(tmp_path):
    """A file that is read until somebody stops it."""
    os.mkfifo(tmp_path / "waits.yaml")
    return tmp_path / "waits.yaml"


def ctrl_c():
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no files that wait")
def test_ctrl_c_says_that_it_stopped_and_how_it_goes_on(llmrec, waits):
    ctrl_c()
    run = llmrec("eval", "run", waits)
    assert (run.code, run.out) == (130, "")
    assert run.err == "Stopped. Say the same with --resume to go on where it was.\n"
    ctrl_c()
    rank = llmrec("rank", "--data", "sample:movies", "--history", "Alien", "--candidates-file", waits)
    assert rank.code == 130
    assert rank.err.endswith("Stopped.\n")


def test_only_what_can_go_on_says_so():
    assert "--resume" in stopped(["adapt", "train", "recipe.yaml"])
    assert "--resume" not in stopped(["adapt", "train", "recipe.yaml", "--resume"])
    assert stopped(["eval", "run", "suite.yaml", "--dry-run"]) == "Stopped."
    assert stopped(["eval", "probe"]) == "Stopped. Say the same again to go on where it was."
    assert stopped(["models", "show"]) == "Stopped."
