"""The examples of `--help` are run where they need no more than a sample data set."""

import re
import shlex

import pytest
import typer

from llmrec_prompt.cli import app

EXAMPLE = re.compile(r"Example: `?(llmrec [^\n`]+)")
ALONE = ("llmrec prompts", "llmrec domain")
"""Commands that need no data set at all."""


def commands(group):
    """All commands, and groups of them, that are below one."""
    yield group
    for command in getattr(group, "commands", {}).values():
        yield from commands(command)


def examples(wanted):
    for command in commands(typer.main.get_command(app)):
        options = {name for parameter in command.params for name in parameter.opts}
        for line in EXAMPLE.findall(command.help or ""):
            if wanted(line):
                yield pytest.param(line, options, id=line)


@pytest.mark.parametrize(
    ("line", "options"), list(examples(lambda line: "sample:" in line or line.startswith(ALONE)))
)
def test_an_example_runs(line, options, llmrec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLMREC_MODEL", "fake:overlap")
    quick = {"--embedder": "backend", "--models": "fake:overlap", "--out": "runs/here"}
    chosen = [part for option, value in quick.items() if option in options for part in (option, value)]
    done = llmrec(*shlex.split(line)[1:], *chosen)
    assert done.code == 0, done.err


def test_every_command_has_an_example():
    for command in commands(typer.main.get_command(app)):
        assert hasattr(command, "commands") or EXAMPLE.search(command.help), command.name
