"""From the rows of one exam to its report: means, intervals, comparisons, events, curves; plain values."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmrec_prompt.errors import DataError, UnknownName
from llmrec_prompt.evaluate.comparison import ALPHA, Comparison, compare_runs, verdict
from llmrec_prompt.evaluate.metrics import METRICS
from llmrec_prompt.evaluate.reports.chance import guesses
from llmrec_prompt.evaluate.reports.curves import MAIN_METRIC, curves
from llmrec_prompt.evaluate.reports.rows import Answers, Tally, costs, tally, unfinished
from llmrec_prompt.evaluate.run import RunDirectory, manifest_name
from llmrec_prompt.evaluate.statistics import PERMUTATIONS, bootstrap_interval, holm, permutations_for

TESTED = ("ndcg@10", "hr@10")
"""The metrics that are compared with the baseline; all comparisons together are corrected."""
FACTS = ("data", "protocol", "negatives", "candidates", "sizes", "seed", "model", "exam", "history")
DIGITS = 4
NEEDED = ("data", "negatives", "rankers", "seed")
"""What a report cannot be without; anything else an old manifest may lack."""
CLOSE = "too close to call"

Labelled = list[tuple[RunDirectory, dict[str, str]]]
"""Runs of one exam, each with the label of each of its rankers."""


@dataclass(frozen=True, slots=True)
class Report:
    """What the runs of one exam say; `as_dict` is the JSON of `llmrec eval run --json`.

    Means are over the users a ranker answered (`answered`): what it refused is counted, never scored as 0,
    and comparisons are over the users whom both answered.
    """

    facts: Mapping[str, Any]
    rankers: Mapping[str, Mapping[str, Mapping[str, float]]]
    events: Mapping[str, Mapping[str, int]]
    costs: Mapping[str, Mapping[str, Any]]
    chance: Mapping[str, float]
    more: Mapping[str, Any] = field(default_factory=dict)
    """`answered`, `refusals`, `baseline`, `comparisons`, `headline`, `curves`, `lists`; and of a run that was
    stopped `unfinished`: how many users there are, and of how many each ranker was asked."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, the best ranker first."""
        return {**self.lasting(), "costs": dict(self.costs), "run": self.facts["run"]}

    def lasting(self) -> dict[str, Any]:
        """All but clock times and places: the same for the same manifest, however often it was stopped."""
        return {
            **self.facts,
            "run": self.facts["name"],
            "rankers": dict(self.rankers),
            "chance": dict(self.chance),
            "events": dict(self.events),
            **self.more,
        }


def report(run: RunDirectory, *, baseline: str | None = None) -> Report:
    """The report of the rows that there are of one run; see `summarise`."""
    return summarise([run], baseline=baseline)


def summarise(runs: Sequence[RunDirectory], *, baseline: str | None = None) -> Report:
    """One report of runs over the same exam; best mean NDCG@10 first.

    Args:
        runs: of one exam fingerprint.
        baseline: the label that the others are held against; the manifest's if None, else popularity, else
            the ranker named first.

    Raises:
        DataError: they are of different exams, or a folder is no run.
        UnknownName: there is no such baseline.
    """
    labelled, manifests = label(runs), [run.manifest for run in runs]
    manifest = manifests[0]
    found, seed = tally(labelled), int(manifest["seed"])
    answered = {name: own for name, own in found.answers.items() if own.users}
    results = {name: intervals(own, seed) for name, own in answered.items()}
    order = sorted(results, key=lambda name: (-results[name][MAIN_METRIC]["mean"], name))
    against = _baseline(baseline or manifest.get("baseline"), list(found.answers), order)
    facts = {key: manifest[key] for key in FACTS if manifest.get(key) is not None}
    facts["model"] = ", ".join(dict.fromkeys(m["model"] for m in manifests if m.get("model")))
    users = len(found.asked.places)
    missing = unfinished(labelled, found)
    facts |= {"users": users, "run": str(runs[0].folder), "name": manifest_name(manifest)}
    return Report(
        facts=facts,
        rankers={name: results[name] for name in order},
        events={name: dict(sorted(own.events.items())) for name, own in found.answers.items()},
        costs=costs(labelled, found),
        chance={m: round(float(guesses(found.asked, m).mean()), DIGITS) for m in METRICS if users},
        more={
            "answered": {name: len(own.users) for name, own in found.answers.items()},
            "refusals": {name: own.why for name, own in found.answers.items() if own.refused},
            "baseline": against,
            "headline": headline(found, order, seed),
            "comparisons": comparisons(found, order, against, seed) if against else [],
            "curves": curves(found, order),
            "lists": lists_of(labelled),
            **({"unfinished": missing} if missing else {}),
        },
    )


def lists_of(labelled: Labelled) -> dict[str, Any]:
    """What was found about the lists when they were there to be looked at; see `reports.lists`."""
    found = {}
    for run, labels in labelled:
        path = run.folder / "lists.json"
        tables = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        found.update({labels[name]: table for name, table in tables.items()})
    return found


def label(runs: Sequence[RunDirectory]) -> Labelled:
    """Name every ranker of every run; where runs share a name, by what they differ in.

    Raises:
        DataError: the runs are of different exams, two of them are the same, or one is no evaluation.
    """
    manifests = [_checked(run) for run in runs]
    exams = {manifest.get("exam") for manifest in manifests}
    if len(exams) > 1:
        raise DataError(f"Runs of {len(exams)} exams cannot be one table: their questions differ.")
    found = list(zip(runs, told_apart(manifests), strict=True))
    labels = [name for _, own in found for name in own.values()]
    twice = {name for name in labels if labels.count(name) > 1}
    if twice:
        raise DataError(f"Two runs have a ranker {min(twice)!r} with the same model, adapter and template.")
    return found


def told_apart(manifests: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """For each run its rankers' labels: of those of a model what the runs differ in follows ` · `."""
    differing = [key for key in ("model", "adapter_name", "domain", "language") if _differ(manifests, key)]
    found = []
    for manifest in manifests:
        parts = [str(manifest[key]) for key in differing if manifest.get(key) and manifest.get("model")]
        found.append({name: " · ".join([name, *parts]) for name in manifest["rankers"]})
    return found


def _checked(run: RunDirectory) -> dict[str, Any]:
    """The manifest of a run, if it is one of an evaluation."""
    manifest = run.manifest
    missing = [key for key in NEEDED if key not in manifest]
    if missing:
        raise DataError(
            f"{run.folder}/manifest.json does not say its {missing[0]}, so it is no evaluation run. "
            "Name another."
        )
    return manifest


def _differ(manifests: Sequence[Mapping[str, Any]], key: str) -> bool:
    """Whether the runs that use a model disagree about something."""
    return len({manifest.get(key) for manifest in manifests if manifest.get("model")}) > 1


def _baseline(wanted: str | None, names: Sequence[str], order: Sequence[str]) -> str | None:
    if wanted is not None and wanted not in names:
        raise UnknownName("baseline", wanted, names)
    chosen = wanted or ("popularity" if "popularity" in names else names[0] if names else None)
    return chosen if chosen in order else None


def intervals(answers: Answers, seed: int) -> dict[str, dict[str, float]]:
    """Mean and 95 % bootstrap interval over the users answered, for each metric."""
    return {
        metric: _rounded(bootstrap_interval(answers.of(metric), seed=seed).as_dict()) for metric in METRICS
    }


def headline(found: Tally, order: Sequence[str], seed: int) -> str:
    """Whether the best is really better than the next, in words."""
    if len(order) < 2:
        return ""
    first, second = order[:2]
    test = _compare(found, first, second, MAIN_METRIC, seed)
    return verdict(test, a=first, b=second) if test else ""


def comparisons(found: Tally, order: Sequence[str], baseline: str, seed: int) -> list[dict[str, Any]]:
    """Every ranker against the baseline, on the users whom both answered; p values corrected over all."""
    pairs = [(name, metric) for metric in TESTED for name in order if name != baseline]
    many = permutations_for(len(pairs))
    compared = [(name, m, _compare(found, name, baseline, m, seed, many)) for name, m in pairs]
    tests = [(name, m, test) for name, m, test in compared if test]
    rows = holm([{"ranker": name, "metric": m, **_plain(test)} for name, m, test in tests])
    return [
        {**row, "call": call(row), "words": verdict(test, a=row["ranker"], b=baseline, p=row["p_holm"])}
        for row, (_, _, test) in zip(rows, tests, strict=True)
    ]


def call(row: Mapping[str, Any]) -> str:
    """Better, worse, or too close to call.

    >>> call({"p_holm": 0.04, "difference": -0.1}), call({"p_holm": 0.4, "difference": 0.1})
    ('worse', 'too close to call')
    """
    if row["p_holm"] >= ALPHA:
        return CLOSE
    return "better" if row["difference"] > 0 else "worse"


def _compare(
    found: Tally, a: str, b: str, metric: str, seed: int, permutations: int = PERMUTATIONS
) -> Comparison | None:
    """None where fewer than two users were answered by both."""
    one, other = found.values(a, metric), found.values(b, metric)
    if len(one.keys() & other.keys()) < 2:
        return None
    return compare_runs(one, other, seed=seed, permutations=permutations)


def _plain(test: Comparison) -> dict[str, Any]:
    gap = test.difference
    facts = {"difference": gap.mean, "low": gap.low, "high": gap.high, "detectable": test.detectable}
    counts = {"users": test.users, "left_out": test.only_a + test.only_b}
    return {**_rounded(facts), **counts, "p": round(test.p, 5)}


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {key: round(value, DIGITS) for key, value in values.items()}


def is_run(folder: Path) -> bool:
    """Whether a folder is one run, not a suite of them."""
    return (folder / "manifest.json").is_file()
