"""The forms of a report on disk: JSON, Markdown, one HTML page, costs, and the files of trec_eval.

Nothing in report.* depends on clocks or places, so a run that was stopped ends with the same bytes.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmrec_prompt.cache import write_atomically
from llmrec_prompt.evaluate.reports.page import page
from llmrec_prompt.evaluate.reports.sheet import Report, report
from llmrec_prompt.evaluate.reports.text import markdown, title
from llmrec_prompt.evaluate.run import RunDirectory
from llmrec_prompt.evaluate.trec import write_trec


def write_report(run: RunDirectory, *, baseline: str | None = None) -> Report:
    """Write all forms of a run's report from its rows.

    Raises:
        DataError: the folder is no run.
        UnknownName: there is no such baseline.
    """
    found = report(run, baseline=baseline)
    write_trec(run)
    write_json(run.folder, "costs.json", found.costs)
    write_json(run.folder, "report.json", found.lasting())
    write_atomically(run.folder / "report.md", markdown(found))
    write_atomically(run.folder / "report.html", page(title(found), [(found, [run])]))
    return found


def write_suite_report(
    folder: Path, name: str, sheets: Sequence[Report], runs: Sequence[Sequence[RunDirectory]]
) -> None:
    """Write all forms of the report of several exams.

    Args:
        folder: the suite's.
        name: the suite's.
        sheets: a report of each exam.
        runs: the runs it was made from.
    """
    costs = [{"exam": title(sheet), "rankers": sheet.costs} for sheet in sheets]
    write_json(folder, "costs.json", {"suite": name, "exams": costs})
    write_json(folder, "report.json", {"suite": name, "sheets": [sheet.lasting() for sheet in sheets]})
    parts = [markdown(sheet, level=2) for sheet in sheets]
    write_atomically(folder / "report.md", "\n".join([f"# {name}", "", *parts]))
    write_atomically(folder / "report.html", page(name, list(zip(sheets, runs, strict=True))))


def write_json(folder: Path, name: str, value: Mapping[str, Any]) -> None:
    """Write plain values so that people can read them."""
    write_atomically(folder / name, json.dumps(dict(value), ensure_ascii=False, indent=1) + "\n")
