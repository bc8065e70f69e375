import json
import subprocess
import sys

import pytest

from llmrec_prompt.cli import main


class Result:
    """What a command left behind."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def llmrec(capfd):
    """Run the command line in this process: `llmrec("rank", "--data", ...)`."""

    def run(*arguments):
        capfd.readouterr()
        try:
            main([str(a) for a in arguments])
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def llmrec_process():
    """Run the command line as a real process."""

    def run(*arguments, **options):
        command = [sys.executable, "-m", "llmrec_prompt", *[str(a) for a in arguments]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)
        return Result(done.returncode, done.stdout, done.stderr)

    return run
