"""The guide to one's own data is followed step by step."""

import re
import shlex
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "evaluation.md"
FENCE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


@pytest.fixture
def steps():
    _, _, section = GUIDE.read_text(encoding="utf-8").partition("## Your own data in ten minutes")
    return FENCE.findall(section.partition("\n## ")[0])


def test_every_step_does_what_it_says(steps, llmrec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path / "cache"))
    said = {}
    for kind, body in steps:
        if kind == "python":
            exec(compile(body, GUIDE.name, "exec"), {})
        elif kind == "yaml":
            Path("my_suite.yaml").write_text(body, encoding="utf-8")
        else:
            for line in body.splitlines():
                done = llmrec(*shlex.split(line)[1:])
                assert done.code == 0, (line, done.err)
                said[line] = done.out
    assert {kind for kind, _ in steps} == {"python", "console", "yaml"}
    assert (tmp_path / "runs" / "first" / "report.html").is_file()
    assert len(list((tmp_path / "runs" / "mine").glob("*/*/rows.jsonl"))) == 16
    assert "A is" in said["llmrec eval compare runs/a runs/b"]
