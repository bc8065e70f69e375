"""Ask every ranker every question, write a row for each answer, compute the report from the rows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llmrec_prompt.evaluate.cases import Exam, Question
from llmrec_prompt.evaluate.metrics import METRICS, compute
from llmrec_prompt.evaluate.run import Row, RunDirectory
from llmrec_prompt.evaluate.statistics import bootstrap_interval, chance
from llmrec_prompt.progress import track
from llmrec_prompt.rank import Ranker, Request, rank
from llmrec_prompt.types import Ranking

MAIN_METRIC = "ndcg@10"


@dataclass(frozen=True, slots=True)
class Report:
    """What a run says; `as_dict` is the JSON of `llmrec eval run --json`."""

    facts: Mapping[str, Any]
    rankers: Mapping[str, Mapping[str, Mapping[str, float]]]
    events: Mapping[str, Mapping[str, int]]
    costs: Mapping[str, Mapping[str, float]]
    chance: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, the best ranker first."""
        return {
            **self.facts,
            "rankers": dict(self.rankers),
            "chance": dict(self.chance),
            "events": dict(self.events),
            "costs": dict(self.costs),
        }


def run_exam(exam: Exam, rankers: Mapping[str, Ranker], run: RunDirectory, *, seed: int) -> None:
    """Write a row for every question and ranker that has none yet."""
    run.mend()
    done = {(row["user"], row["ranker"]) for row in run.rows()}
    todo = [q for q in exam.questions if any((q.user, name) not in done for name in rankers)]
    items = {item.item_id: item for q in todo for item in q.candidates}
    for ranker in rankers.values():
        if todo:
            ranker.prepare(list(items.values()))
    for question in track(todo, "Users", len(todo)):
        for name, ranker in rankers.items():
            if (question.user, name) not in done:
                ranking = answer(ranker, question, seed)
                run.append(grade(name, question, ranking, exam.targets[question.user]))


def answer(ranker: Ranker, question: Question, seed: int) -> Ranking:
    """The ranking; the ranker sees the question and nothing else."""
    return rank(ranker, question.history, question.candidates, Request(user=question.user, seed=seed))


def grade(name: str, question: Question, ranking: Ranking, relevant: frozenset[str]) -> Row:
    """Hold a ranking against what is right; `target` is the one of it that is ranked best."""
    origin = ranking.provenance
    target = min(relevant, key=ranking.ids.index)
    return {
        "user": question.user,
        "ranker": name,
        "history": len(question.history),
        "ids": list(ranking.ids),
        "target": target,
        "target_rank": ranking.ids.index(target) + 1,
        **({"targets": sorted(relevant)} if len(relevant) > 1 else {}),
        "metrics": compute(ranking.ids, relevant, list(METRICS)),
        "events": dict(origin.events),
        "tokens": origin.tokens_evaluated,
        "seconds": origin.seconds,
    }


def report(run: RunDirectory) -> Report:
    """The report of the rows there are; best mean NDCG@10 first."""
    manifest = run.manifest
    rows = sorted(run.rows(), key=lambda row: (row["ranker"], row["user"]))
    by_ranker = {name: [r for r in rows if r["ranker"] == name] for name in manifest["rankers"]}
    by_ranker = {name: own for name, own in by_ranker.items() if own}
    results = {name: intervals(own, int(manifest["seed"])) for name, own in by_ranker.items()}
    best_first = sorted(results, key=lambda name: (-results[name][MAIN_METRIC]["mean"], name))
    facts = {key: manifest[key] for key in ("data", "protocol", "negatives", "candidates", "seed", "model")}
    facts |= {"users": len({row["user"] for row in rows}), "run": str(run.folder)}
    sizes = [len(row["ids"]) for row in rows]
    return Report(
        facts=facts,
        rankers={name: results[name] for name in best_first},
        events={name: _sum_events(own) for name, own in by_ranker.items()},
        costs={name: _costs(own) for name, own in by_ranker.items()},
        chance={m: round(float(np.mean([chance(n, m) for n in sizes])), 4) for m in METRICS} if sizes else {},
    )


def intervals(rows: Sequence[Row], seed: int) -> dict[str, dict[str, float]]:
    """Mean and 95 % bootstrap interval over users, for each metric."""
    found = {}
    for metric in METRICS:
        values = np.array([row["metrics"][metric] for row in rows])
        interval = bootstrap_interval(values, seed=seed).as_dict()
        found[metric] = {key: round(value, 4) for key, value in interval.items()}
    return found


def _sum_events(rows: Sequence[Row]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for row in rows:
        total.update(row["events"])
    return dict(sorted(total.items()))


def _costs(rows: Sequence[Row]) -> dict[str, float]:
    seconds = float(np.mean([row["seconds"] for row in rows]))
    return {
        "seconds_per_user": round(seconds, 4),
        "tokens_per_user": round(float(np.mean([row["tokens"] for row in rows])), 1),
    }


def default_folder(name: str) -> Path:
    """Where a run goes when nobody says."""
    return Path("runs") / name
