"""`llmrec eval run | report | compare`."""

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from llmrec_prompt.backends import DEFAULT_MODEL, hosting, load_backend
from llmrec_prompt.cli import options as o
from llmrec_prompt.cli.adapt import parsed
from llmrec_prompt.cli.eval_output import print_differences, print_estimate, print_report, print_suite
from llmrec_prompt.cli.output import progress
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.evaluate import Plan, RunDirectory, evaluate, write_report
from llmrec_prompt.evaluate.estimate import estimate
from llmrec_prompt.evaluate.plan import ALL, check_rankers
from llmrec_prompt.evaluate.reports.sheet import is_run
from llmrec_prompt.evaluate.run_pair import compare_folders
from llmrec_prompt.evaluate.suite import Paper, Suite, papers
from llmrec_prompt.evaluate.suite_run import check_all, make_exams, report_suite, run_suite
from llmrec_prompt.evaluate.trackers import check_trackers, log_reports

app = typer.Typer(no_args_is_help=True, help="Offline evaluation.")
EVERY = ",".join(ALL)
OF_SERVERS = ("hosted", "base_url", "hosted_settings")
WITH_SUITE = ("suite", "changes", "dry_run", "out", "resume", "tracker", "as_json", *OF_SERVERS)
"""Options that go with a suite; all else is written in it."""

SuiteFile = Annotated[Path | None, typer.Argument(help="A suite in YAML.", metavar="SUITE.yaml")]
Data = Annotated[str | None, typer.Option(help="Folder of a data set, or sample:NAME.", metavar="DIR")]
Protocol = Annotated[
    str, typer.Option(help="leave-last-out, global-time, cold-user, cold-item, cold-domain.")
]
Negatives = Annotated[
    str, typer.Option(help="uniform, popular, retrieved, impressions, full, or a candidates file.")
]
Shown = Annotated[int | None, typer.Option(help="Show only so many of the latest items; all by default.")]
Retrieve = Annotated[
    int | None,
    typer.Option(help="With --negatives full: rank what retrieval finds, as recommend does.", metavar="N"),
]
Names = Annotated[str, typer.Option(help="Modes, separated by commas; bm25+popularity adds two up.")]
Baseline = Annotated[str | None, typer.Option(help="Held against all others; popularity by default.")]
Weight = Annotated[
    float | None, typer.Option(help="The encoder's; the adapter's own for these negatives by default.")
]
Changes = Annotated[
    list[str] | None, typer.Option("--set", help="Change a value of the suite.", metavar="users=20")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would run, and what it would take.")]
Out = Annotated[Path | None, typer.Option(help="Run directory; runs/… by default.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")]
Tracker = Annotated[
    list[str] | None, typer.Option(help="Log to mlflow or tensorboard too; repeat it.", metavar="NAME")
]
Run = Annotated[Path, typer.Argument(help="A run directory, or a suite's.", metavar="RUN")]


@app.command()
def run(
    context: typer.Context,
    suite: SuiteFile = None,
    data: Data = None,
    protocol: Protocol = "leave-last-out",
    users: o.Users = 200,
    candidates: o.Candidates = 20,
    negatives: Negatives = "uniform",
    retrieve: Retrieve = None,
    history: Shown = None,
    rankers: Names = EVERY,
    baseline: Baseline = None,
    model: o.Model = DEFAULT_MODEL,
    domain: o.DomainName = None,
    language: o.Language = None,
    adapter: o.Adapter = None,
    popularity_weight: Weight = None,
    embedder: o.Embedder = "auto",
    seed: o.Seed = 0,
    changes: Changes = None,
    dry_run: DryRun = False,
    out: Out = None,
    resume: Resume = False,
    tracker: Tracker = None,
    hosted: o.UseHosted = False,
    base_url: o.BaseUrl = None,
    hosted_settings: o.HostedSettings = None,
    as_json: o.AsJson = False,
) -> None:
    """Hide what users did next, rank it among others, report who finds it.

    Example: `llmrec eval run --data sample:movies --users 12 --rankers random,popularity,fused`

    Example: `llmrec eval run my_suite.yaml --dry-run`
    """
    check_trackers(tracker or [])
    context.with_resource(hosting(o.leave(hosted, base_url, hosted_settings)))
    asked = suite_of(context, suite, changes or []) if suite else plan_of(context.params)
    carry_out(asked, {**context.params, "out": out})


def carry_out(asked: Suite | Plan, given: Mapping[str, Any]) -> None:
    """Estimate or run what is asked."""
    trackers, as_json, where = given["tracker"] or [], given["as_json"], given["out"]
    if given["dry_run"]:
        dry(asked, as_json=as_json)
    elif isinstance(asked, Suite):
        with progress():
            whole = run_suite(asked, out=where, resume=given["resume"])
        log_reports(trackers, whole.sheets, Path(whole.run))
        print_suite(whole, as_json=as_json)
    else:
        with progress():
            single = evaluate(asked, out=where, resume=given["resume"])
        log_reports(trackers, [single], Path(single.facts["run"]))
        print_report(single, as_json=as_json)


def plan_of(given: Mapping[str, Any]) -> Plan:
    """The options as a plan.

    Raises:
        ConfigError: there is no data, or something that only a suite can have.
    """
    if given["data"] is None or given["changes"]:
        raise ConfigError("Give a suite in YAML, or --data with what to run on it; --set is for a suite.")
    return Plan(**{f.name: given[f.name] for f in fields(Plan)} | {"rankers": o.names(given["rankers"])})


def suite_of(context: typer.Context, path: Path, changes: list[str]) -> Suite:
    """The suite, and no option beside it that would be overlooked.

    Raises:
        ConfigError: the file is no suite, or an option belongs into it.
    """
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE" and name not in WITH_SUITE:
            option = name.replace("_", "-")
            raise ConfigError(f"--{option} is not for a suite. Write it in {path}, or --set KEY=VALUE.")
    return Suite.load(path, parsed(changes))


def dry(asked: Suite | Plan, *, as_json: bool) -> None:
    """Check everything, and say what it would take."""
    cells, prices = (papers(asked), asked.prices) if isinstance(asked, Suite) else ([Paper((asked,))], {})
    backend = cache(load_backend)
    for cell in cells:
        for plan in cell.plans:
            check_rankers(plan)
    with progress():
        exams = make_exams(cells)
        check_all(cells, exams, backend)
        lines = estimate(cells, exams, backend)
    print_estimate(lines, prices, as_json=as_json)


@app.command("report")
def report_(folder: Run, baseline: Baseline = None, as_json: o.AsJson = False) -> None:
    """Write all forms of a report again. Example: `llmrec eval report runs/my-run`."""
    if is_run(folder):
        print_report(write_report(RunDirectory(folder), baseline=baseline), as_json=as_json)
    else:
        print_suite(report_suite(folder, baseline=baseline), as_json=as_json)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="A run directory, or a suite's.", metavar="RUN_A")],
    second: Annotated[Path, typer.Argument(help="Another one of the same exam.", metavar="RUN_B")],
    as_json: o.AsJson = False,
) -> None:
    """Which differences between two runs are real. Example: `llmrec eval compare runs/a runs/b`."""
    print_differences(compare_folders(first, second), as_json=as_json)
