"""What the documentation shows is run: Python blocks, and `llmrec` lines that need no model download."""

import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
FENCE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    return [body for kind, body in FENCE.findall(text) if kind == language]


@pytest.mark.parametrize("code", blocks("README.md", "python"), ids=lambda c: c.splitlines()[0])
def test_readme_python_runs(code, capsys):
    exec(compile(code, "README.md", "exec"), {})
    assert "fused" in capsys.readouterr().out


COMMANDS = [
    line.split("#")[0].strip()
    for page in ("README.md", "docs/templates.md")
    for block in blocks(page, "console")
    for line in block.splitlines()
    if line.startswith("llmrec ") and "my_shop" not in line
]


@pytest.mark.llama
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run(command, llmrec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = llmrec(*shlex.split(command)[1:])
    assert done.code == 0, done.err
    assert done.out


def test_another_language_is_made_as_the_page_says(llmrec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = {kind: textwrap.dedent(body) for kind, body in FENCE.findall(section("Another language"))}
    german, films = tmp_path / "prompts" / "base" / "de", tmp_path / "prompts" / "films"
    shutil.copytree(REPOSITORY / "prompts" / "base" / "en", german)
    for file in german.glob("*.j2"):
        file.write_text(file.read_text(encoding="utf-8").replace("base/en", "base/de"), encoding="utf-8")
    (german / "history.j2").write_text(shown["jinja"], encoding="utf-8")
    films.mkdir()
    (films / "domain.yaml").write_text(shown["yaml"], encoding="utf-8")
    done = llmrec(*shlex.split(shown["console"])[1:], "--model", "fake:overlap", "--json")
    assert done.json["prompt"] == "Filme, die eine Zuschauerin nacheinander gesehen hat:\nAlien (1979)\n"
    assert llmrec("prompts", "check", "films").code == 0


def section(title: str) -> str:
    """What docs/templates.md says under a heading."""
    page = (REPOSITORY / "docs" / "templates.md").read_text(encoding="utf-8")
    return page.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_links_lead_somewhere():
    for page in [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_shows_what_the_result_pages_say():
    page = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    done = subprocess.run(
        [sys.executable, REPOSITORY / "eval" / "glance.py"], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("\n") == 6
    assert done.stdout in page, "python eval/glance.py prints the table"
