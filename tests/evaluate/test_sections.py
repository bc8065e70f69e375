"""The Python blocks of the sections on metrics, statistics, probes and rankers are run, in order."""

import re
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "evaluation.md"


def test_what_the_sections_show_is_true(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    page = GUIDE.read_text(encoding="utf-8")
    sections = page[page.index("## Metrics") : page.index("## Your own data")]
    found = re.findall(r"```python\n(.*?)```", sections, re.DOTALL)
    assert len(found) == 4
    space: dict[str, object] = {}
    for code in found:
        exec(compile(code, GUIDE.name, "exec"), space)
    assert (tmp_path / "runs" / "own" / "report.html").is_file()
