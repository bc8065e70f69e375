"""`llmrec eval run | report`."""

from pathlib import Path
from typing import Annotated

import typer

from llmrec_prompt.backends import DEFAULT_MODEL
from llmrec_prompt.cli import options as o
from llmrec_prompt.cli.output import console, errors, print_json, print_rows, progress
from llmrec_prompt.evaluate import Plan, Report, RunDirectory, evaluate, write_report
from llmrec_prompt.evaluate.offline import ALL

app = typer.Typer(no_args_is_help=True, help="Offline evaluation.")
METRICS = ("hr@1", "hr@5", "hr@10", "ndcg@10", "mrr")


@app.command()
def run(
    data: o.Data,
    users: Annotated[int, typer.Option(help="How many users, by a seeded order.")] = 200,
    candidates: Annotated[int, typer.Option(help="Target and negatives together.")] = 20,
    negatives: Annotated[str, typer.Option(help="uniform, popular, or a candidates file.")] = "uniform",
    rankers: Annotated[str, typer.Option(help="Names, separated by commas.")] = ",".join(ALL),
    model: o.Model = DEFAULT_MODEL,
    domain: o.DomainName = None,
    language: o.Language = None,
    adapter: o.Adapter = None,
    popularity_weight: Annotated[
        float | None, typer.Option(help="The encoder's; the adapter's own for these negatives by default.")
    ] = None,
    embedder: o.Embedder = "auto",
    seed: o.Seed = 0,
    out: Annotated[Path | None, typer.Option(help="Run directory; runs/… by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    as_json: o.AsJson = False,
) -> None:
    """Leave each user's last item out, rank it among others, report who finds it.

    Example: `llmrec eval run --data sample:movies --users 12 --rankers random,popularity,fused`
    """
    plan = Plan(
        data=data,
        users=users,
        candidates=candidates,
        negatives=negatives,
        rankers=tuple(name.strip() for name in rankers.split(",") if name.strip()),
        model=model,
        domain=domain,
        language=language,
        adapter=adapter,
        popularity_weight=popularity_weight,
        embedder=embedder,
        seed=seed,
    )
    with progress():
        result = evaluate(plan, out=out, resume=resume)
    print_report(result, as_json=as_json)


@app.command("report")
def report_(
    folder: Annotated[Path, typer.Argument(help="A run directory.", metavar="RUN")], as_json: o.AsJson = False
) -> None:
    """Report on a run again. Example: `llmrec eval report runs/my-run`."""
    print_report(write_report(RunDirectory(folder)), as_json=as_json)


def print_report(result: Report, *, as_json: bool) -> None:
    """The best first; mean and 95 % interval of the main metric."""
    if as_json:
        print_json(result.as_dict())
        return
    rows = [
        [
            name,
            *(scores[m]["mean"] for m in METRICS),
            f"{scores['ndcg@10']['low']:.3f}-{scores['ndcg@10']['high']:.3f}",
        ]
        for name, scores in result.rankers.items()
    ]
    rows.append(["(chance)", *(result.chance[m] for m in METRICS), ""])
    facts = result.facts
    console.print(
        f"{facts['data']}, {facts['protocol']}, {facts['users']} users, {facts['candidates']} candidates "
        f"({facts['negatives']} negatives), seed {facts['seed']}",
        markup=False,
        highlight=False,
    )
    print_rows(["ranker", *METRICS, "ndcg@10 95 %"], rows)
    for name, events in result.events.items():
        if events:
            counted = ", ".join(f"{event} {count}" for event, count in events.items())
            errors.print(f"{name}: {counted}", style="yellow", markup=False, highlight=False)
    errors.print(f"Rows are in {facts['run']}", style="dim", markup=False, highlight=False)
