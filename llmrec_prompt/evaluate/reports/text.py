"""A report in Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmrec_prompt.evaluate.metrics import METRICS
from llmrec_prompt.evaluate.reports.curves import MAIN_METRIC
from llmrec_prompt.evaluate.reports.sheet import Report

NOTE = """Means over the users that a ranker answered, in brackets the 95 % bootstrap interval; (chance) is
what guessing scores. Comparisons are paired randomisation tests on the same users, corrected together by
Holm's method."""
SAMPLED_NOTE = """Sampled metrics compare rankers on the same candidates; they are not quality over the whole
catalogue (Krichene and Rendle, 2020)."""


def markdown(found: Report, *, level: int = 1) -> str:
    """The whole report of one exam for people who read text."""
    head = "#" * level
    lines = [f"{head} {title(found)}", "", about(found), ""]
    lines += [*leaderboard(found), ""]
    if found.more["headline"]:
        lines += [found.more["headline"], ""]
    lines += _section(f"{head}# Against {found.more['baseline']}", compared(found))
    for chart in found.more["curves"].values():
        lines += _section(f"{head}# {chart['title']}", charted(chart))
    lines += _section(f"{head}# Events", counted(found))
    note = NOTE if found.facts["negatives"] == "full" else f"{NOTE} {SAMPLED_NOTE}"
    return "\n".join([*lines, note, ""])


def title(found: Report) -> str:
    """Data and negatives of an exam."""
    facts = found.facts
    return f"{facts['data']}, {variant(found)}"


def variant(found: Report) -> str:
    """Protocol, negatives and the history shown."""
    facts = found.facts
    count = facts.get("history")
    shown = "" if count is None else f", {count} item{'' if count == 1 else 's'} shown"
    return f"{facts['protocol']}, {facts['negatives']} negatives{shown}"


def about(found: Report) -> str:
    """Size, seed and model in a line."""
    facts = found.facts
    users, model = facts["users"], facts["model"] or "none"
    missing = found.more.get("unfinished")
    so_far = f" of {missing['users']} so far: not finished, --resume goes on" if missing else ""
    return f"{users} users{so_far}, {_candidates(facts)}, seed {facts['seed']}, model {model}."


def _candidates(facts: Mapping[str, Any]) -> str:
    """How many each user's list holds."""
    if facts["negatives"] == "full":
        return "the whole catalogue"
    low, high = facts.get("sizes") or [facts["candidates"]] * 2
    return f"{low} candidates" if low == high else f"{low} to {high} candidates"


def leaderboard(found: Report) -> Iterator[str]:
    """The best ranker first; what it did not answer beside its name."""
    yield from _head(["ranker", *METRICS])
    for name, scores in found.rankers.items():
        cells = [f"{scores[m]['mean']:.3f}" for m in METRICS]
        main = list(METRICS).index(MAIN_METRIC)
        cells[main] += f" [{scores[MAIN_METRIC]['low']:.3f}, {scores[MAIN_METRIC]['high']:.3f}]"
        yield _row([name + unanswered(found, name), *cells])
    yield _row(["(chance)", *(f"{found.chance[m]:.3f}" for m in METRICS if m in found.chance)])
    for name, why in found.more["refusals"].items():
        if name not in found.rankers:
            yield _row([f"{name}: refused all ({why})", *["–"] * len(METRICS)])


def unanswered(found: Report, name: str) -> str:
    """A remark on a ranker that did not answer everybody, or was not asked for everybody yet; else empty."""
    missing = found.more.get("unfinished")
    users = missing["users"] if missing else found.facts["users"]
    asked = missing["asked"][name] if missing else users
    answered = found.more["answered"][name]
    remarks = [f"answered {answered} of {asked}"] if answered < asked else []
    remarks += [f"asked for {asked} of {users} so far"] if asked < users else []
    return f" ({', '.join(remarks)})" if remarks else ""


def compared(found: Report) -> Iterator[str]:
    """One line for each test."""
    tests = found.more["comparisons"]
    if tests:
        yield from _head(["ranker", "metric", "difference", "p (Holm)", "users", "in words"])
    for t in tests:
        gap = f"{t['difference']:+.3f} [{t['low']:+.3f}, {t['high']:+.3f}]"
        yield _row([t["ranker"], t["metric"], gap, f"{t['p_holm']:.4f}", str(t["users"]), t["call"]])


def charted(chart: Mapping[str, Any]) -> Iterator[str]:
    """A chart as a table."""
    yield from _head([f"{chart['y']} by {chart['x']}", *chart["at"]])
    for name, values in [*chart["series"].items(), ("(chance)", chart["chance"])]:
        yield _row([name, *("–" if value is None else f"{value:.3f}" for value in values)])
    yield _row(["users", *map(str, chart["users"])])


def counted(found: Report) -> Iterator[str]:
    """What a careful reader must know of each ranker."""
    for name, events in found.events.items():
        if events:
            yield f"- {name}: " + ", ".join(f"{event} {count}" for event, count in events.items())


def _section(head: str, lines: Iterator[str]) -> list[str]:
    found = list(lines)
    return [head, "", *found, ""] if found else []


def _head(cells: Sequence[str]) -> Iterator[str]:
    yield _row(cells)
    yield "|---" * len(cells) + "|"


def _row(cells: Sequence[str]) -> str:
    """A line of a table; a bar in a name would end its cell."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
