"""What is said after Ctrl-C."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from llmrec_prompt.cli import in_words, passes, stopped
from llmrec_prompt.errors import BackendError, BudgetExceeded, ConfigError


@pytest.fixture
def waits(tmp_path):
    """A file that is read until somebody stops it."""
    os.mkfifo(tmp_path / "waits.yaml")
    return tmp_path / "waits.yaml"


def interrupted(waits, *arguments):
    """Exit code, stdout and stderr of a process that is sent Ctrl-C while it reads the file."""
    # A job in the background is started deaf to Ctrl-C.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heed}; from llmrec_prompt.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        end = os.open(waits, os.O_WRONLY)  # waits until the process has opened its end
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
        os.close(end)
    return process.returncode, out, err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no files that wait")
def test_ctrl_c_says_that_it_stopped_and_how_it_goes_on(waits):
    code, out, err = interrupted(waits, "eval", "run", waits)
    assert (code, out) == (130, "")
    assert err == "Stopped. Say the same with --resume to go on where it was.\n"
    given = ("rank", "--data", "sample:movies", "--history", "Alien", "--candidates-file", waits)
    code, _, err = interrupted(waits, *given)
    assert code == 130
    assert err.endswith("Stopped.\n")


def test_only_what_can_go_on_says_so():
    assert "--resume" in stopped(["adapt", "train", "recipe.yaml"])
    assert "--resume" not in stopped(["adapt", "train", "recipe.yaml", "--resume"])
    assert stopped(["eval", "run", "suite.yaml", "--dry-run"]) == "Stopped."
    assert stopped(["eval", "probe"]) == "Stopped. Say the same again to go on where it was."
    assert stopped(["models", "show"]) == "Stopped."


def test_a_full_disk_is_told_in_words_and_passes():
    full = OSError(errno.ENOSPC, "No space left on device", "runs/x/rows.jsonl")
    assert in_words(full) == "The disk is full: runs/x/rows.jsonl cannot be written. Make room."
    assert passes(full)
    assert passes(BudgetExceeded("used up"))
    assert not passes(OSError(errno.EACCES, "Permission denied"))
    assert not passes(BackendError("llama.cpp cannot load it"))
    assert not passes(ConfigError("no"))
