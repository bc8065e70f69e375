"""Measure all rankers on real data sets and write docs/results.md.

    python eval/results.py --data ../shared/data --users 200

Every number in docs/results.md comes from here. Runs are kept under runs/results and resumed; users of the
validation split, on which defaults were chosen (eval/tune_fusion.py), are not among those tested here.
"""

import argparse
import sys
from pathlib import Path

from llmrec_prompt.cli.output import progress
from llmrec_prompt.evaluate import Plan, Report, evaluate
from llmrec_prompt.evaluate.offline import ALL

SETS = ("movielens-small", "online-retail", "shakespeare-co")
METRICS = ("hr@1", "hr@5", "hr@10", "ndcg@10", "mrr")

HEAD = """# Results

Written by `python eval/results.py --users {users} --model {model}`; rerun it to get the same table.

Leave-last-out by time: the last liked item of each of {users} users is hidden among 19 others and ranked.
`uniform` negatives are drawn evenly from what the user has not consumed, `popular` ones by popularity.
Scorers are fitted on the logs without any tested user's last item. Means over users; in brackets the 95 %
bootstrap interval of NDCG@10. These are sampled metrics: they compare rankers on the same candidates, and
are not to be read as quality over the whole catalogue (Krichene and Rendle, 2020).

`likelihood` is the language model alone, zero-shot: {model}, {parameters}. `fused` adds the
embedding and, where logs exist, popularity; its weights are stated under each table. Nothing was trained.
"""


def main() -> None:
    """Run what is missing and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--sets", nargs="*", default=SETS)
    parser.add_argument("--out", type=Path, default=Path("docs/results.md"))
    given = parser.parse_args()
    parts = [
        HEAD.format(
            users=given.users, model=given.model, parameters=PARAMETERS.get(given.model, "a local model")
        )
    ]
    for name in given.sets:
        if not (given.data / name).is_dir():
            sys.exit(f"{given.data / name} is not there. Say --data FOLDER.")
        parts += [section(given, name, negatives) for negatives in ("uniform", "popular")]
    given.out.write_text("\n".join(parts), encoding="utf-8")
    print(f"{given.out} written.")


PARAMETERS = {
    "smollm2": "135 million parameters",
    "gemma3-270m": "270 million parameters, no instruction tuning",
}


def section(given: argparse.Namespace, name: str, negatives: str) -> str:
    """Evaluate one data set with one kind of negatives and put it into Markdown."""
    plan = Plan(
        data=str(given.data / name), users=given.users, negatives=negatives, model=given.model, rankers=ALL
    )
    out = Path("runs/results") / f"{name}-{negatives}-{given.users}-{given.model.replace(':', '-')}"
    with progress():
        report = evaluate(plan, out=out, resume=True)
    print(f"{name}, {negatives}: best is {next(iter(report.rankers))}", flush=True)
    return "\n".join(table(report))


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
    lines += ["", f"{facts['users']} users, seed {facts['seed']}."]
    for name, events in report.events.items():
        if events:
            lines.append(
                f"`{name}`: " + ", ".join(f"{event} {count}" for event, count in events.items()) + "."
            )
    return [*lines, ""]


if __name__ == "__main__":
    main()
