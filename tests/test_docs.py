"""What the documentation shows is run: Python blocks, and `llmrec` lines that need no model download."""

import ast
import dataclasses
import itertools
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from llmrec_prompt.settings import Settings

REPOSITORY = Path(__file__).parents[1]
FENCE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    return [body for kind, body in FENCE.findall(text) if kind == language]


@pytest.mark.parametrize("code", blocks("README.md", "python"), ids=lambda c: c.splitlines()[0])
def test_readme_python_runs(code, capsys):
    exec(compile(code, "README.md", "exec"), {})
    assert "fused" in capsys.readouterr().out


def test_the_threads_of_one_process_run(capsys):
    (code,) = [code for code in blocks("docs/adaptation.md", "python") if "ThreadPoolExecutor" in code]
    exec(compile(code, "docs/adaptation.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 2


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


def rows_of(page: str, head: str) -> dict[str, list[str]]:
    """The other cells of a Markdown table's rows, by the first one without its code marks."""
    text = (REPOSITORY / page).read_text(encoding="utf-8").partition(f"| {head} |")[2]
    lines = text.partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {first.strip(" `"): rest for first, *rest in cells}


def test_the_table_of_extras_is_what_the_package_asks_for():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {"(none)": project["dependencies"], **project["optional-dependencies"]}
    told = rows_of("README.md", "extra")
    assert set(told) == set(extras)
    for extra in set(extras) - {"gemma3-270m", "dev"}:
        named = re.findall(r"[a-z0-9-]+\b", re.sub("what|has", "", told[extra][0]))
        wanted = [re.match(r"llmrec-prompt\[(.*)\]|([\w-]+)", need) for need in extras[extra]]
        assert set(named) == {name for need in wanted for name in (need[1] or need[2]).split(",")}, extra


def test_the_table_of_settings_is_what_the_code_says():
    tree = ast.parse((REPOSITORY / "llmrec_prompt" / "settings.py").read_text(encoding="utf-8"))
    body = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Settings").body
    said = {
        field.target.id: [f"`{ast.unparse(field.value)}`", " ".join(text.value.value.split())]
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign)
    }
    assert list(said) == [field.name for field in dataclasses.fields(Settings)]
    assert rows_of("docs/cold-start.md", "setting") == said


def test_the_variables_of_the_environment_are_told():
    code = "".join(p.read_text(encoding="utf-8") for p in (REPOSITORY / "llmrec_prompt").rglob("*.py"))
    assert set(rows_of("README.md", "variable")) == set(re.findall(r"LLMREC_[A-Z]+", code))


def test_links_lead_somewhere():
    for page in [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_shows_what_the_result_pages_say():
    page = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    done = subprocess.run(
        [sys.executable, REPOSITORY / "eval" / "glance.py"], capture_output=True, text=True, check=True
    )
    tables = done.stdout.split("\n\n")
    assert [table.strip().count("\n") for table in tables] == [5, 8]
    for table in tables:
        assert table.strip() in page, "python eval/glance.py prints the tables"
