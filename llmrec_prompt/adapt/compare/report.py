"""From the rows of a comparison to its report: JSON, Markdown tables, a picture."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llmrec_prompt.adapt.compare.plot import plot_shots
from llmrec_prompt.cache import write_atomically
from llmrec_prompt.errors import ConfigError, MissingExtra
from llmrec_prompt.evaluate.reports.chance import guess
from llmrec_prompt.evaluate.reports.files import write_json
from llmrec_prompt.evaluate.run import Row
from llmrec_prompt.evaluate.statistics import bootstrap_interval, holm, paired_test

ANY = "any"
"""The shots of a row that is the same for any number of them."""
METRICS = {"ndcg@10": "NDCG@10", "hr@10": "HR@10"}
OURS, START = "source+target", "source-only"
RIVALS = tuple((OURS, other) for other in ("target-only", "sasrec", "embedding"))
GAINS = tuple((name, START) for name in (OURS, "composed", "predictive", "adversarial"))
NOTE = """{data}: the last liked item of each of {test} users among {candidates} candidates, the same for
every row; negatives are drawn evenly, or by popularity. n shots are n users to learn from, and beside them
validation users ({validation}) that choose checkpoints and weights. Every method that reads logs gets
those of all these users only. A row that shots cannot change is the same in every column.
Brackets are 95 % bootstrap intervals over the tested users; which users happened to be the shots ({draws},
seed {seed} of training) is not in them. Sampled metrics compare methods on these candidates; they are not
quality over the whole catalogue."""


def summarise(rows: Sequence[Row], manifest: Mapping[str, Any], sizes: Mapping[str, Any]) -> dict[str, Any]:
    """The report as plain values.

    `results[negatives][method][shots][metric]` is {mean, low, high}; `tests` are paired randomisation tests
    of source+target against others on NDCG@10, `gains` those of what shots added to the source's adapter;
    `p_holm` is corrected over all of its list (Holm 1979). With several draws of the shots a user counts with
    the mean over them; `by_draw` has what each draw gave.

    Raises:
        ConfigError: there are no rows.
    """
    if not rows:
        raise ConfigError(
            f"None of the methods ({', '.join(manifest['methods'])}) can do with shots "
            f"{', '.join(sizes)}. Give more shots, or a method that needs none."
        )
    facts = ("name", "data", "domain", "model", "model_hash", "adapters", "test", "candidates", "seed")
    seed = int(manifest["seed"])
    groups = _by_row(rows)
    results, details = _cells(groups, manifest, sizes)
    return {
        **{key: manifest[key] for key in facts},
        "draws": max(len(found) for found in groups),
        "codes": len({row.get("code") for row in rows}),
        "shots": dict(sizes),
        "chance": {metric: round(guess(int(manifest["candidates"]), 1, metric), 4) for metric in METRICS},
        "results": results,
        "tests": holm(list(_tests(groups, sizes, RIVALS, seed))),
        "gains": holm(list(_tests(groups, sizes, GAINS, seed))),
        "details": details,
    }


def _cells(
    groups: Sequence[list[Row]], manifest: Mapping[str, Any], sizes: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """`results` and `details` of the report, by negatives, method and shots."""
    order, seed = list(manifest["methods"]), int(manifest["seed"])
    results: dict[str, Any] = {kind: {} for kind in manifest["negatives"]}
    details: dict[str, Any] = {kind: {} for kind in manifest["negatives"]}
    for draws in sorted(groups, key=lambda found: order.index(found[0]["method"])):
        row, values = draws[0], _values(draws)
        said = {**row["facts"], "events": row["events"], "seconds": row["seconds"]}
        for shots in _columns(row, sizes):
            cells = results[row["negatives"]].setdefault(row["method"], {})
            cells[shots] = {metric: _interval(found.mean(0), seed) for metric, found in values.items()}
            details[row["negatives"]].setdefault(row["method"], {})[shots] = {
                **said,
                "by_draw": values["ndcg@10"].mean(1).round(4).tolist(),
            }
    return results, details


def _by_row(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows of each cell, a draw each."""
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["negatives"], row["shots"], row["method"]), []).append(row)
    return list(found.values())


def _values(draws: Sequence[Row]) -> dict[str, Any]:
    """By metric, (draws, users)."""
    return {metric: np.array([row["values"][metric] for row in draws]) for metric in draws[0]["values"]}


def _columns(row: Row, sizes: Mapping[str, Any]) -> list[str]:
    return list(sizes) if row["shots"] == ANY else [row["shots"]]


def _interval(values: Any, seed: int) -> dict[str, float]:
    found = bootstrap_interval(values, seed=seed).as_dict()
    return {key: round(value, 4) for key, value in found.items()}


def _tests(
    groups: Sequence[list[Row]], sizes: Mapping[str, Any], pairs: Sequence[tuple[str, str]], seed: int
) -> Iterator[dict[str, Any]]:
    """A test of the first of each pair against the second wherever both are, save at no shots at all."""
    values = {
        (draws[0]["negatives"], shots, draws[0]["method"]): _values(draws)["ndcg@10"]
        for draws in groups
        for shots in _columns(draws[0], sizes)
    }
    for (kind, shots, method), ours in values.items():
        for other in [second for first, second in pairs if first == method and shots != "0"]:
            theirs = values.get((kind, shots, other))
            if theirs is not None:
                by_draw = (ours - theirs).mean(1)
                yield {
                    "method": method,
                    "negatives": kind,
                    "shots": shots,
                    "than": other,
                    "difference": round(float(by_draw.mean()), 4),
                    "by_draw": by_draw.round(4).tolist(),
                    "p": round(paired_test(ours.mean(0), theirs.mean(0), seed=seed), 5),
                }


def write_report(report: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Write report.json, report.md, and curves.svg where matplotlib is; gives the report."""
    report = {**report, "run": str(folder)}
    write_json(folder, "report.json", report)
    try:
        picture = plot_shots(report, folder / "curves.svg").name
    except MissingExtra:
        picture = None
    write_atomically(folder / "report.md", markdown(report, picture))
    return report


def markdown(report: Mapping[str, Any], picture: str | None = None) -> str:
    """The report for people."""
    lines = [f"# {report['name']}\n", _note(report), ""]
    if picture:
        lines += [f"![NDCG@10 over shots]({picture})", ""]
    for kind, methods in report["results"].items():
        for metric, title in METRICS.items():
            lines += [f"## {title}, {kind} negatives (chance {report['chance'][metric]:.3f})\n"]
            lines += [*_table(methods, report["shots"], metric), ""]
    if report["tests"]:
        lines += [f"## {OURS} against others, NDCG@10\n", *_test_lines(report["tests"], "than"), ""]
    if report["gains"]:
        lines += [f"## What shots add to {START}, NDCG@10\n", *_test_lines(report["gains"], "method"), ""]
    return "\n".join(lines)


def _note(report: Mapping[str, Any]) -> str:
    validation = ", ".join(f"{size['validation']} at {shots}" for shots, size in report["shots"].items())
    draws = "one draw" if report["draws"] == 1 else f"means over {report['draws']} draws"
    facts = {key: report[key] for key in ("data", "test", "candidates", "seed")}
    codes = f"\nIts rows were made by {report['codes']} versions of the code." if report["codes"] > 1 else ""
    return NOTE.format(validation=validation, draws=draws, **facts) + codes


def column(shots: str, size: Mapping[str, int]) -> str:
    """The head of a column.

    >>> column("all", {"users": 350}), column("16", {"users": 16})
    ('all (350)', '16')
    """
    return f"all ({size['users']})" if shots == "all" else shots


def cell(value: Mapping[str, float] | None) -> str:
    """Mean and interval, or a dash for what cannot be fitted.

    >>> cell({"mean": 0.5, "low": 0.45, "high": 0.55}), cell(None)
    ('0.500 [0.450, 0.550]', '–')
    """
    return f"{value['mean']:.3f} [{value['low']:.3f}, {value['high']:.3f}]" if value else "–"


def table(methods: Mapping[str, Any], shots: Sequence[str], metric: str) -> list[list[str]]:
    """A line for each method: its name, and a cell for each number of shots."""
    return [
        [name, *(cell(cells[n][metric] if n in cells else None) for n in shots)]
        for name, cells in methods.items()
    ]


def _table(methods: Mapping[str, Any], shots: Mapping[str, Any], metric: str) -> Iterator[str]:
    yield f"| users | {' | '.join(column(name, size) for name, size in shots.items())} |"
    yield "|---" * (len(shots) + 1) + "|"
    for line in table(methods, list(shots), metric):
        yield f"| {' | '.join(line)} |"


def _test_lines(tests: Sequence[Mapping[str, Any]], which: str) -> Iterator[str]:
    yield f"| negatives | shots | {which} | difference | each draw | p | p (Holm) |"
    yield "|---|---|---|---|---|---|---|"
    for t in tests:
        each = ", ".join(f"{difference:+.3f}" for difference in t["by_draw"])
        numbers = f"{t['difference']:+.3f} | {each} | {t['p']:.4f} | {t['p_holm']:.4f}"
        yield f"| {t['negatives']} | {t['shots']} | {t[which]} | {numbers} |"
