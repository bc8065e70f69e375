"""Two runs of the same exam, ranker by ranker: which differences are real."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from llmrec_prompt.errors import DataError
from llmrec_prompt.evaluate.comparison import compare_runs, verdict
from llmrec_prompt.evaluate.metrics import METRICS
from llmrec_prompt.evaluate.reports.rows import Tally, tally
from llmrec_prompt.evaluate.reports.sheet import DIGITS, TESTED, call, label
from llmrec_prompt.evaluate.run import FOLLOWS, OF_REPORT, RunDirectory
from llmrec_prompt.evaluate.statistics import holm, permutations_for
from llmrec_prompt.evaluate.suite_run import runs_of

Key = tuple[str, ...]
"""Fingerprint of the questions, protocol, length of the history, and the how-manieth of these in its folder.

Protocols may ask the same questions over other logs: cold-domain asks those of leave-last-out.
"""
Exams = dict[Key, tuple[str, Sequence[RunDirectory]]]
"""Key → name, and the runs of it."""


def compare_folders(first: Path, second: Path) -> dict[str, Any]:
    """Compare two runs, or two suites, on the exams that both have.

    Returns:
        `tests`: for each exam, ranker and metric the means `a` and `b`, `difference` (a - b) with its
        interval, `p`, `p_holm` (corrected over all tests of all exams, whose permutations grow with their
        number: see `permutations_for`), `call` (what a is) and `words`. `only_a` and `only_b`: what had
        nothing to be compared with. `differ`: see `differing`.

    Raises:
        DataError: a folder is no run, or they have no exam or no ranker in common.
    """
    a, b = exams_of(first), exams_of(second)
    common = [key for key in a if key in b]
    if not common:
        raise DataError(
            f"{first} and {second} are of different exams ({_some(a)}; {_some(b)}), so no user "
            "can be compared. Run both with the same data, protocol, negatives, users, candidates and seed."
        )
    pairs = [(a[k][0], tally(label(a[k][1])), tally(label(b[k][1])), _seed(a[k][1])) for k in common]
    many = permutations_for(sum(len(_common(one, other)) for _, one, other, _ in pairs) * len(TESTED))
    tests = holm([test for pair in pairs for test in _tests(*pair, many)])
    if not tests:
        raise DataError(f"{first} and {second} have no ranker in common. Compare rankers in one run instead.")
    for test in tests:
        found = test.pop("found")
        names = {"a": f"{test['ranker']} of A", "b": f"{test['ranker']} of B"}
        words = verdict(found, **names, p=test["p_holm"])
        test |= {"p": round(test["p"], 5), "call": call(test), "words": words}
    return {
        "a": str(first),
        "b": str(second),
        "differ": differing(pair for key in common for pair in zip(a[key][1], b[key][1], strict=False)),
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
        shown = "" if manifest.get("history") is None else f", history {manifest['history']}"
        name = f"{manifest.get('data')}, {manifest.get('protocol')}, {manifest.get('negatives')}{shown}"
        asked = tuple(str(manifest.get(key)) for key in ("exam", "protocol", "history"))
        found[*asked, str(sum(key[:-1] == asked for key in found))] = (name, runs)
    return found


def differing(pairs: Iterable[tuple[RunDirectory, RunDirectory]]) -> dict[str, list[Any]]:
    """What the manifests of runs say otherwise, as [in A, in B]: settings first, then what follows of them.

    Of several pairs the first that differs in a key stands for all.
    """
    found: dict[str, list[Any]] = {}
    for one, other in ((a.manifest, b.manifest) for a, b in pairs):
        for key in sorted({*one, *other}.difference(OF_REPORT)):
            if one.get(key) != other.get(key):
                found.setdefault(key, [one.get(key), other.get(key)])
    return dict(sorted(found.items(), key=lambda pair: (pair[0] in FOLLOWS, pair[0])))


def _some(exams: Exams) -> str:
    return ", ".join(f"{name} {key[0]}" for key, (name, _) in list(exams.items())[:3])


def _seed(runs: Sequence[RunDirectory]) -> int:
    return int(runs[0].manifest["seed"])


def _common(one: Tally, other: Tally) -> list[str]:
    """Rankers that both have."""
    return [ranker for ranker in one.answers if ranker in other.answers]


def _tests(name: str, one: Tally, other: Tally, seed: int, permutations: int) -> Iterator[dict[str, Any]]:
    """Every ranker and metric that both have, on the users whom both answered; `p` not rounded yet."""
    for ranker in _common(one, other):
        for metric in [m for m in METRICS if m in TESTED]:
            a, b = one.values(ranker, metric), other.values(ranker, metric)
            if len(a.keys() & b.keys()) < 2:
                continue
            found = compare_runs(a, b, seed=seed, permutations=permutations)
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
                "p": found.p,
                "found": found,
            }


def _alone(own: Exams, others: Exams, pairs: Sequence[tuple[str, Tally, Tally]]) -> list[str]:
    """Exams and rankers that the other side lacks."""
    exams = [name for key, (name, _) in own.items() if key not in others]
    rankers = [f"{r} ({name})" for name, one, other in pairs for r in one.answers if r not in other.answers]
    return [*exams, *rankers]
