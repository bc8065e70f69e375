"""The report as one HTML page that needs nothing else: no server, no network, no fonts.

Titles, ids and prompts are hostile input: Jinja escapes every value, and the script holds no data.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from llmrec_prompt.evaluate.metrics import METRICS
from llmrec_prompt.evaluate.reports.curves import MAIN_METRIC, over_history
from llmrec_prompt.evaluate.reports.sheet import Report, label
from llmrec_prompt.evaluate.reports.svg import ceiling, colours, draw
from llmrec_prompt.evaluate.reports.text import about, title, unanswered, variant
from llmrec_prompt.evaluate.reports.users import users_of
from llmrec_prompt.evaluate.run import RunDirectory

TEMPLATE = "page.html.j2"
ALONE, TOGETHER = 40, 8
"""Users shown of one exam, and of each where a page has several."""

Sheets = Sequence[tuple[Report, Sequence[RunDirectory]]]


def page(name: str, sheets: Sheets) -> str:
    """The page of one or several exams.

    Args:
        name: its heading.
        sheets: each report and the runs it was made from.
    """
    most = ALONE if len(sheets) == 1 else TOGETHER
    views = [_view(f"exam-{i}", found, runs, most) for i, (found, runs) in enumerate(sheets, start=1)]
    overview = _overview(views) if len(views) > 1 else None
    order = [ranker for ranker, _ in overview["rows"]] if overview else []
    curves = _cold_start([found for found, _ in sheets], colours(order, None))
    template = _environment().get_template(TEMPLATE)
    return template.render(
        name=name, sheets=views, overview=overview, curves=curves, main=MAIN_METRIC, metrics=list(METRICS)
    )


@functools.cache
def _environment() -> Environment:
    loader = FileSystemLoader(Path(__file__).parent)
    return Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def _view(anchor: str, found: Report, runs: Sequence[RunDirectory], most: int) -> dict[str, Any]:
    """What the template needs of one exam."""
    order = list(found.rankers)
    colour = colours(order, found.more["baseline"])
    manifests = [json.dumps(run.manifest, indent=1, ensure_ascii=False, sort_keys=True) for run in runs]
    return {
        "anchor": anchor,
        "title": title(found),
        "data": found.facts["data"],
        "rest": variant(found),
        "about": about(found),
        "rows": [_row(found, name, colour[name]) for name in order],
        "refused": {n: why for n, why in found.more["refusals"].items() if n not in found.rankers},
        "chance": found.chance,
        "scale": _scale(found),
        "charts": [draw(chart, colour) for chart in found.more["curves"].values()],
        "legend": [{"name": name, "colour": colour[name]} for name in order],
        "tests": found.more["comparisons"],
        "lists": _lists(found, order),
        "events": {name: events for name, events in found.events.items() if events},
        "users": users_of(label(runs), order, most=most),
        "manifests": manifests,
        **{key: found.more[key] for key in ("headline", "baseline")},
    }


def _scale(found: Report) -> float:
    """The right end of the interval bars."""
    return ceiling([scores[MAIN_METRIC]["high"] for scores in found.rankers.values()])


def _row(found: Report, name: str, colour: int) -> dict[str, Any]:
    """A line of the leaderboard; percentages are places on its bar."""
    scores, scale = found.rankers[name], _scale(found)
    main = scores[MAIN_METRIC]
    tests = [t for t in found.more["comparisons"] if t["ranker"] == name and t["metric"] == MAIN_METRIC]
    return {
        "name": name,
        "colour": colour,
        "remark": unanswered(found, name),
        "scores": scores,
        "bar": {key: round(100 * value / scale, 2) for key, value in main.items()},
        "chance": round(100 * found.chance[MAIN_METRIC] / scale, 2),
        "test": tests[0] if tests else None,
    }


def _lists(found: Report, order: Sequence[str]) -> dict[str, Any] | None:
    """What lists show besides accuracy, as a table."""
    tables: Mapping[str, Any] = found.more.get("lists", {})
    names = [name for name in order if name in tables]
    if not names:
        return None
    heads = [head for head in tables[names[0]] if not head.startswith("event:")]
    rows = [(name, [tables[name].get(head, {}).get("value") for head in heads]) for name in names]
    return {"heads": heads, "rows": rows}


def _overview(views: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rankers by exams, the main metric in each cell and how near it is to the best of its exam."""
    names = dict.fromkeys(row["name"] for view in views for row in view["rows"])
    means = [{row["name"]: row["scores"][MAIN_METRIC]["mean"] for row in view["rows"]} for view in views]
    cells = {name: [_cell(name, own) for own in means] for name in names}
    averages = {name: sum(c["share"] for c in row if c) / len(views) for name, row in cells.items()}
    return {
        "heads": [{key: view[key] for key in ("anchor", "data", "rest")} for view in views],
        "rows": [(name, cells[name]) for name in sorted(names, key=lambda n: (-averages[n], n))],
    }


def _cell(name: str, means: Mapping[str, float]) -> dict[str, Any] | None:
    if name not in means:
        return None
    best = max(means.values())
    share = means[name] / best if best else 0.0
    return {"mean": means[name], "best": means[name] == best, "share": round(share, 3)}


def _cold_start(reports: Sequence[Report], colour: Mapping[str, int]) -> list[dict[str, Any]]:
    """A curve over the history shown for each data set and negatives that have several lengths."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for found in reports:
        if "history" in found.facts:
            key = tuple(str(found.facts[k]) for k in ("data", "protocol", "negatives"))
            groups.setdefault(key, []).append(found.lasting())
    charts = {key: over_history(own) for key, own in groups.items()}
    return [
        {**draw(chart, colour), "title": f"{', '.join(key)} negatives"}
        | {"legend": {name: number for name, number in colour.items() if name in chart["series"]}}
        for key, chart in charts.items()
        if chart
    ]
