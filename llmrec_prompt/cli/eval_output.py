"""What people and programs see of an evaluation: tables on stdout, remarks on stderr, JSON."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmrec_prompt.cli.output import console, counted, duration, errors, print_json, print_rows, remark
from llmrec_prompt.evaluate import Report
from llmrec_prompt.evaluate.estimate import Line, total
from llmrec_prompt.evaluate.metrics import METRICS
from llmrec_prompt.evaluate.reports.curves import MAIN_METRIC
from llmrec_prompt.evaluate.reports.sheet import CLOSE
from llmrec_prompt.evaluate.reports.text import about, title, unanswered
from llmrec_prompt.evaluate.suite_run import SuiteReport

ASKED = ("data", "protocol", "negatives", "history", "ranker", "model", "adapter", "users")
LINE = (*ASKED, "seconds", "tokens", "cost", "from")
"""What an estimate's line says."""


def print_report(result: Report, *, as_json: bool) -> None:
    """The best first; mean and 95 % interval of the main metric."""
    if as_json:
        print_json(result.as_dict())
        return
    print_sheet(result)
    remark(f"Rows, report.html and files for trec_eval are in {result.facts['run']}")


def print_suite(result: SuiteReport, *, as_json: bool) -> None:
    """A table for every exam."""
    if as_json:
        print_json(result.as_dict())
        return
    for sheet in result.sheets:
        print_sheet(sheet)
        console.print()
    remark(f"One report of all: {result.run}/report.html")


def print_sheet(result: Report) -> None:
    """One exam."""
    rows = [
        [
            name + unanswered(result, name),
            *(scores[m]["mean"] for m in METRICS),
            f"{scores[MAIN_METRIC]['low']:.3f}-{scores[MAIN_METRIC]['high']:.3f}",
            _call(result, name),
        ]
        for name, scores in result.rankers.items()
    ]
    rows.append(["(chance)", *(result.chance.get(m, "") for m in METRICS), "", ""])
    console.print(f"{title(result)}: {about(result)}", soft_wrap=True)
    print_rows(["ranker", *METRICS, f"{MAIN_METRIC} 95 %", "verdict"], rows)
    if result.more["comparisons"]:
        remark(f"Verdicts are against {result.more['baseline']}; close means {CLOSE}.")
    for name, events in result.events.items():
        if events:
            errors.print(f"{name}: {counted(events)}", style="yellow")
    for name, why in result.more["refusals"].items():
        errors.print(f"{name} refused: {why}", style="yellow")
    if result.more["headline"]:
        remark(result.more["headline"])


def _call(result: Report, name: str) -> str:
    """What the test of the main metric says of a ranker."""
    tests = result.more["comparisons"]
    found = next((t["call"] for t in tests if (t["ranker"], t["metric"]) == (name, MAIN_METRIC)), "")
    return "close" if found == CLOSE else found


def print_estimate(lines: Sequence[Line], prices: Mapping[str, float], *, as_json: bool) -> None:
    """What would run, line by line, and the sums."""
    rows, sums = [line.as_dict(prices) for line in lines], total(lines, prices)
    if as_json:
        print_json({"runs": rows, "total": sums})
        return
    _print_lines([row | {"data": Path(row["data"]).name} for row in rows])
    console.print(
        f"In all: {len(rows)} rankers, about {duration(sums['seconds'])}, {sums['tokens']} tokens, "
        f"cost {money(sums['cost'])}.",
        soft_wrap=True,
    )
    measured, unknown = sums["measured"], sums["unknown"]
    remark(
        f"{len(rows) - measured - unknown} lines are from recorded rates of earlier runs here, {measured} "
        f"from a few real questions, {unknown} not known. What is in the cache of scores costs less."
    )


def _print_lines(rows: Sequence[dict[str, Any]]) -> None:
    """What differs between the lines as a table, what is the same for all of them once above it."""
    heads = [head for head in LINE if len(rows) == 1 or len({row[head] for row in rows}) > 1]
    same = [
        f"{head} {row}" for head in LINE if head not in heads and (row := rows[0][head]) not in (None, "")
    ]
    if same:
        remark(f"For all: {', '.join(same)}.")
    print_rows(heads, [[_cell(row[head]) for head in heads] for row in rows])


def _cell(value: Any) -> Any:
    return "" if value is None else value


def money(cost: float | None) -> str:
    """What it costs, or what is missing to say so."""
    if cost is None:
        return "unknown: give `prices: {MODEL: price of a million tokens}` in the suite"
    return f"{cost:.2f}" if cost else "nothing"


def print_differences(found: Mapping[str, Any], *, as_json: bool) -> None:
    """What two runs differ in, test by test."""
    if as_json:
        print_json(dict(found))
        return
    for key, (a, b) in found["differ"].items():
        remark(f"They differ in {key}: {a!r:.80} in A, {b!r:.80} in B")
    for exam in dict.fromkeys(test["exam"] for test in found["tests"]):
        _print_tests(exam, [test for test in found["tests"] if test["exam"] == exam])
    for side in ("a", "b"):
        if found[f"only_{side}"]:
            remark(f"Only in {side.upper()}: {', '.join(found[f'only_{side}'])}")


def _print_tests(exam: str, tests: Sequence[Mapping[str, Any]]) -> None:
    """The differences in one exam, and in words those that are real."""
    columns = ("ranker", "metric", "a", "b", "difference", "p_holm", "call")
    cells = [[f"{t[c]:+.3f}" if c == "difference" else t[c] for c in columns] for t in tests]
    print_rows(["ranker", "metric", "A", "B", "A - B", "p (Holm)", "A is"], cells, title=exam)
    for test in tests:
        if test["call"] != CLOSE:
            words = f"{test['metric']}: {test['words']}"
            console.print(words, soft_wrap=True)
