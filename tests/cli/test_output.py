"""What a log says of how long something will take, and answers in any encoding."""

import json
import os
import re

import pytest

from llmrec_prompt.cli.output import tell


def told(capsys, *reports, label="Steps"):
    paces = {}
    for now, done, total in reports:
        tell(paces, label, done, total, now=now)
    return capsys.readouterr().err.splitlines()


def test_a_line_every_ten_seconds_with_the_pace_so_far(capsys):
    assert told(capsys, (0, 0, 100), (5, 5, 100), (10, 10, 100), (12, 12, 100), (20, 20, 100)) == [
        "Steps: 10 of 100, about 1.5 min left",
        "Steps: 20 of 100, about 1.3 min left",
    ]


def test_what_begins_anew_has_a_pace_of_its_own(capsys):
    lines = told(capsys, (0, 0, 10), (10, 10, 10), (500, 0, 10), (510, 5, 10))
    assert lines[-1] == "Steps: 5 of 10, about 10 s left"


def test_what_was_there_before_it_went_on_says_nothing_of_the_pace(capsys):
    lines = told(capsys, (0, 0, 300), (0.01, 100, 300), (0.02, 200, 300), (20, 210, 300))
    assert lines == ["Steps: 210 of 300, about 3.0 min left"]


def test_titles_that_the_terminal_cannot_show_are_escaped(llmrec_process, tmp_path):
    (tmp_path / "items.jsonl").write_text(
        '{"item_id": "1", "title": "Amélie 書"}\n{"item_id": "2", "title": "B"}'
    )
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = (
        "recommend",
        "--data",
        tmp_path,
        "--model",
        "fake:overlap",
        "--embedder",
        "backend",
        "--history",
        "B",
    )
    table = llmrec_process(*command, env=env)
    assert table.code == 0, table.err
    assert "Am\\xe9lie \\u66f8" in table.out
    found = llmrec_process(*command, "--json", env=env)
    assert found.json["recommendations"][0]["title"] == "Amélie 書"


def test_items_of_one_title_are_told_apart(llmrec, tmp_path):
    rows = [{"item_id": f"i{n}", "title": title} for n, title in enumerate(["Emma", "Emma", "Dune"])]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = ("recommend", "--data", tmp_path, "--mode", "bm25", "--history", "Dune", "-k", 2)
    shown = llmrec(*asked)
    assert {"Emma [i0]", "Emma [i1]"} == set(re.findall(r"Emma \[i\d\]", shown.out))
    assert (
        "[" not in llmrec("recommend", "--data", tmp_path, "--mode", "bm25", "--history", "i0", "-k", 2).out
    )


@pytest.mark.parametrize("mode", ["embedding", "bm25+embedding"])
def test_the_footer_names_what_read_the_items(llmrec, mode):
    asked = ("recommend", "--data", "sample:movies", "--history", "Alien", "--model", "fake:overlap")
    found = llmrec(*asked, "--embedder", "backend", "--mode", mode)
    assert "embedder fake--" in found.err
    assert "no language model" not in found.err
    assert "no language model" in llmrec(*asked, "--mode", "bm25").err


def test_titles_do_nothing_to_a_terminal(llmrec, tmp_path):
    """Whoever wrote a title colours nothing, names no window, and draws no emoji, markup or row."""
    titles = ["\x1b[31mRed", "\x1b]0;owned\x07Blue", ":star: [bold]Big[/bold]", "One\nTwo\u202e", "\x9bGone"]
    rows = [{"item_id": str(n), "title": title} for n, title in enumerate(titles)]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ("rank", "--data", tmp_path, "--mode", "random", "--history", "0")
    chosen = [part for row in rows for part in ("--candidates", row["item_id"])]
    shown = llmrec(*command, *chosen)
    assert shown.code == 0, shown.err
    assert not {"\x1b", "\x07", "\x9b", "\u202e", "⭐"} & {*shown.out, *shown.err}
    for text in (":star: [bold]Big[/bold]", "\ufffd[31mRed", "One Two"):
        assert text in shown.out
        assert text in " ".join(shown.err.split())
    assert "'3' is One Two\ufffd [3]" in shown.err
    found = llmrec(*command, *chosen, "--json").json
    assert {line["title"] for line in found["recommendations"]} == set(titles)
