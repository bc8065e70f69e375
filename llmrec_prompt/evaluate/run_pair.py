"""Two runs of the same exam, ranker by ranker: which differences are real."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llmrec_prompt.errors import DataError
from llmrec_prompt.evaluate.comparison import compare_runs, verdict
from llmrec_prompt.evaluate.metrics import METRICS
from llmrec_prompt.evaluate.reports.rows import Tally, tally
from llmrec_prompt.evaluate.reports.sheet import DIGITS, TESTED, call, label
from llmrec_prompt.evaluate.run import RunDirectory
from llmrec_prompt.evaluate.statistics import holm
from llmrec_prompt.evaluate.suite_run import runs_of

Exams = dict[str, tuple[str, Sequence[RunDirectory]]]
"""Fingerprint → name, and the runs of it."""


def compare_folders(first: Path, second: Path) -> dict[str, Any]:
    """Compare two runs, or two suites, on the exams that both have.

    Returns:
        `tests`: for each exam, ranker and metric the means `a` and `b`, `difference` (a - b) with its
        interval, `p`, `p_holm` (corrected over all tests), `call` (what a is) and `words`. `only_a` and
        `only_b`: what had nothing to be compared with.

    Raises:
        DataError: a folder is no run, or they have no exam or no ranker in common.
    """
    a, b = exams_of(first), exams_of(second)
    common = [fingerprint for fingerprint in a if fingerprint in b]
    if not common:
        raise DataError(
            f"{first} and {second} are of different exams ({_some(a)}; {_some(b)}), so no user "
            "can be compared. Run both with the same data, protocol, negatives, users, candidates and seed."
        )
    pairs = [(a[f][0], tally(label(a[f][1])), tally(label(b[f][1])), _seed(a[f][1])) for f in common]
    tests = holm([test for name, one, other, seed in pairs for test in _tests(name, one, other, seed)])
    if not tests:
        raise DataError(f"{first} and {second} have no ranker in common. Compare rankers in one run instead.")
    for test in tests:
        found = test.pop("found")
        names = {"a": f"{test['ranker']} of A", "b": f"{test['ranker']} of B"}
        test |= {"call": call(test), "words": verdict(found, **names, p=test["p_holm"])}
    return {
        "a": str(first),
        "b": str(second),
        "tests": tests,
        "only_a": _alone(a, b, [(name, one, other) for name, one, other, _ in pairs]),
        "only_b": _alone(b, a, [(name, other, one) for name, one, other, _ in pairs]),
    }


def exams_of(folder: Path) -> Exams:
    """The exams of a run or a suite.

    Raises:
        DataError: it is neither.
    """
    found: Exams = {}
    for runs in runs_of(folder):
        manifest = runs[0].manifest
        name = f"{manifest.get('data')}, {manifest.get('protocol')}, {manifest.get('negatives')}"
        found[str(manifest.get("exam"))] = (name, runs)
    return found


def _some(exams: Exams) -> str:
    return ", ".join(f"{name} {fingerprint}" for fingerprint, (name, _) in list(exams.items())[:3])


def _seed(runs: Sequence[RunDirectory]) -> int:
    return int(runs[0].manifest["seed"])


def _tests(name: str, one: Tally, other: Tally, seed: int) -> Iterator[dict[str, Any]]:
    """Every ranker and metric that both have, on the users whom both answered."""
    for ranker in [r for r in one.answers if r in other.answers]:
        for metric in [m for m in METRICS if m in TESTED]:
            a, b = _values(one, ranker, metric), _values(other, ranker, metric)
            if len(a.keys() & b.keys()) < 2:
                continue
            found = compare_runs(a, b, seed=seed)
            gap = found.difference
            numbers = {"a": found.mean_a, "b": found.mean_b, "difference": gap.mean, "low": gap.low}
            numbers |= {"high": gap.high, "detectable": found.detectable}
            yield {
                "exam": name,
                "ranker": ranker,
                "metric": metric,
                **{key: round(value, DIGITS) for key, value in numbers.items()},
                "users": found.users,
                "left_out": found.only_a + found.only_b,
                "p": round(found.p, 5),
                "found": found,
            }


def _values(found: Tally, ranker: str, metric: str) -> Mapping[str, float]:
    users, own = list(found.asked.places), found.answers[ranker]
    return {users[place]: value for place, value in zip(own.users, own.values[metric], strict=True)}


def _alone(own: Exams, others: Exams, pairs: Sequence[tuple[str, Tally, Tally]]) -> list[str]:
    """Exams and rankers that the other side lacks."""
    exams = [name for fingerprint, (name, _) in own.items() if fingerprint not in others]
    rankers = [f"{r} ({name})" for name, one, other in pairs for r in one.answers if r not in other.answers]
    return [*exams, *rankers]
