"""Measure all rankers on real data sets and write docs/results.md.

    python eval/results.py --data ../shared/data --users 200

Every number in docs/results.md comes from here. Runs are kept under runs/results and resumed; the users on
whom defaults were chosen (eval/tune.py) are not among those tested here.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from llmrec_prompt.cli.output import progress
from llmrec_prompt.evaluate import Plan, Report, RunDirectory, evaluate
from llmrec_prompt.evaluate.offline import ALL
from llmrec_prompt.evaluate.statistics import paired_test
from llmrec_prompt.rank import WEIGHTS

SETS = ("movielens-small", "online-retail", "shakespeare-co")
METRICS = ("hr@1", "hr@5", "hr@10", "ndcg@10", "mrr")
MODELS = {
    "smollm2": "135 million parameters",
    "gemma3-270m": "270 million parameters, no instruction tuning",
}

HEAD = """# Results

Written by `python eval/results.py --users {users} --model {model}`; rerun it to get the same tables.

Leave-last-out by time: the last liked item of each of {users} users is hidden among 19 others and ranked.
`uniform` negatives are drawn evenly from what the user has not consumed, `popular` ones by popularity, so
that there popularity itself is worth nothing. Scorers are fitted on the logs without any tested user's last
item. Means over users, in brackets the 95 % bootstrap interval. These are sampled metrics: they compare
rankers on the same candidates and are not to be read as quality over the whole catalogue (Krichene and
Rendle, 2020).

`likelihood` is the language model alone, zero-shot: {model}, {parameters}. `embedding` is MiniLM. `fused`
adds likelihood, embedding, co-occurrence and log popularity, z-scored, with weights {weights}
(chosen on other users by `python eval/tune.py`). Nothing was trained.
"""


def main() -> None:
    """Run what is missing; write the page after every table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--model", default="smollm2", choices=list(MODELS))
    parser.add_argument("--sets", nargs="*", default=SETS)
    parser.add_argument("--out", type=Path, default=Path("docs/results.md"))
    given = parser.parse_args()
    weights = ", ".join(f"{weight:g} ({part})" for part, weight in WEIGHTS.items())
    facts = {"users": given.users, "model": given.model, "parameters": MODELS[given.model]}
    parts = [HEAD.format(**facts, weights=weights)]
    for name in given.sets:
        if not (given.data / name).is_dir():
            sys.exit(f"{given.data / name} is not there. Say --data FOLDER.")
        for negatives in ("uniform", "popular"):
            parts.append(section(given, name, negatives))
            given.out.write_text("\n".join(parts), encoding="utf-8")
            print(f"{name}, {negatives}: written to {given.out}", flush=True)


def section(given: argparse.Namespace, name: str, negatives: str) -> str:
    """Evaluate one data set with one kind of negatives and put it into Markdown."""
    plan = Plan(
        data=str(given.data / name), users=given.users, negatives=negatives, model=given.model, rankers=ALL
    )
    out = Path("runs/results") / f"{name}-{negatives}-{given.users}-{given.model}"
    with progress():
        report = evaluate(plan, out=out, resume=True)
    return "\n".join([*table(report), *remarks(report, RunDirectory(out)), ""])


def table(report: Report) -> list[str]:
    """The best ranker first."""
    facts = report.facts
    lines = [f"## {facts['data']}, {facts['negatives']} negatives", ""]
    lines += [f"| ranker | {' | '.join(METRICS)} |", "|---|" + "---|" * len(METRICS)]
    for name, scores in report.rankers.items():
        cells = [f"{scores[m]['mean']:.3f}" for m in METRICS]
        cells[3] += f" ({scores['ndcg@10']['low']:.3f}-{scores['ndcg@10']['high']:.3f})"
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines.append(f"| (chance) | {' | '.join(f'{report.chance[m]:.3f}' for m in METRICS)} |")
    return lines


def remarks(report: Report, run: RunDirectory) -> list[str]:
    """Whether the winner is one, what the language model costs, and every counted event."""
    first, second = list(report.rankers)[:2]
    values = {name: per_user(run, name) for name in (first, second)}
    gap = float(np.mean(values[first] - values[second]))
    p = paired_test(values[first], values[second])
    verdict = "" if p < 0.05 else ": too close to call"
    costs = report.costs.get("likelihood", {})
    lines = [
        "",
        f"{report.facts['users']} users, seed {report.facts['seed']}. "
        f"`{first}` over `{second}` by {gap:.3f} NDCG@10 "
        f"(paired randomisation test, p = {p:.4f}){verdict}. "
        f"`likelihood` took {costs.get('tokens_per_user', 0):.0f} tokens a user, priors not counted.",
    ]
    events = [
        f"`{n}`: " + ", ".join(f"{e} {c}" for e, c in found.items())
        for n, found in report.events.items()
        if found
    ]
    return [*lines, *(["", "Events: " + "; ".join(events) + "."] if events else [])]


def per_user(run: RunDirectory, ranker: str) -> np.ndarray:
    """NDCG@10 of each user, in the order of users."""
    rows = sorted((r for r in run.rows() if r["ranker"] == ranker), key=lambda r: r["user"])
    return np.array([r["metrics"]["ndcg@10"] for r in rows])


if __name__ == "__main__":
    main()
