"""The forms of a report on disk: JSON, Markdown, one HTML page, costs, and the files of trec_eval.

Nothing in report.* depends on clocks or places, so a run that was stopped ends with the same bytes.
"""

import json
from collections.abc import Mapping
from typing import Any

from llmrec_prompt.evaluate.report_sheet import Report, report
from llmrec_prompt.evaluate.report_text import markdown
from llmrec_prompt.evaluate.run import RunDirectory, write_atomically
from llmrec_prompt.evaluate.trec import write_trec


def write_report(run: RunDirectory, *, baseline: str | None = None) -> Report:
    """Write all forms of a run's report from its rows.

    Raises:
        DataError: the folder is no run.
        UnknownName: there is no such baseline.
    """
    found = report(run, baseline=baseline)
    write_trec(run)
    write_json(run, "costs.json", found.costs)
    write_json(run, "report.json", found.lasting())
    write_atomically(run.folder / "report.md", markdown(found))
    return found


def write_json(run: RunDirectory, name: str, value: Mapping[str, Any]) -> None:
    """Write plain values so that people can read them."""
    write_atomically(run.folder / name, json.dumps(value, ensure_ascii=False, indent=1) + "\n")
