"""`llmrec eval probe`."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any

import typer

from llmrec_prompt.backends import DEFAULT_MODEL, hosting
from llmrec_prompt.cli import options as o
from llmrec_prompt.cli.output import console, counted, errors, print_json, print_rows, progress, remark
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.evaluate import Plan
from llmrec_prompt.evaluate.probing import PROBES, Probing
from llmrec_prompt.evaluate.probing import probe as probe_plan

EVERY = ",".join(PROBES)
Negatives = Annotated[str, typer.Option(help="uniform, popular, retrieved, impressions.")]
Names = Annotated[str, typer.Option(help="Names, separated by commas.")]
Attributes = Annotated[str, typer.Option(help="Words for who asks, separated by commas.")]
Compared = Annotated[int, typer.Option("-k", help="So many of the first are compared between attributes.")]


def probe(
    context: typer.Context,
    data: o.Data,
    probes: Names = EVERY,
    rankers: Names = "likelihood",
    attributes: Attributes = "man,woman,20-year-old,70-year-old",
    users: o.Users = 30,
    candidates: o.Candidates = 20,
    negatives: Negatives = "uniform",
    k: Compared = 5,
    model: o.Model = DEFAULT_MODEL,
    adapter: o.Adapter = None,
    domain: o.DomainName = None,
    language: o.Language = None,
    embedder: o.Embedder = "auto",
    seed: o.Seed = 0,
    hosted: o.UseHosted = False,
    base_url: o.BaseUrl = None,
    hosted_settings: o.HostedSettings = None,
    as_json: o.AsJson = False,
) -> None:
    """Ask what accuracy does not say: does a candidate's place matter, who asks, has the model read the data.

    Example: `llmrec eval probe --data sample:movies --users 10 --candidates 10 --rankers label,likelihood`
    """
    context.with_resource(hosting(o.leave(hosted, base_url, hosted_settings)))
    given = {f.name: context.params[f.name] for f in fields(Plan) if f.name in context.params}
    plan = Plan(**given | {"rankers": o.names(rankers)})
    with progress():
        found = probe_plan(Probing(plan, o.names(probes), o.names(attributes), k))
    print_json(found) if as_json else print_probes(found)
    if not any(found.get(name) for name in PROBES):
        raise ConfigError(f"Nothing could be asked: {next(iter(found['refused'].values()), 'no question')}")


def print_probes(found: Mapping[str, Any]) -> None:
    """A table for every probe, with how to read it; what was refused on stderr."""
    for name, show in (("position", _positions), ("attributes", _attributes), ("memory", _memory)):
        if found.get(name):
            show(found[name])
            console.print()
    for what, why in found["refused"].items():
        errors.print(f"{what}: {why}", style="yellow", soft_wrap=True)


def _positions(rows: Mapping[str, Any]) -> None:
    places = list(next(iter(rows.values()))["mean_rank"])
    print_rows(
        ["ranker", *(f"at {float(place):g}" for place in places), "spread", "p", "tau"],
        [
            [name, *row["mean_rank"].values(), row["spread"], row["p"], row["tau"]]
            for name, row in rows.items()
        ],
        title="Mean rank of the target by its place among the candidates (0 first, 1 last)",
    )
    remark(
        "Without a bias the spread is 0 and shuffled lists are ranked alike (tau 1); p says how often chance "
        "makes so large a spread."
    )
    _events(rows)


def _attributes(rows: Mapping[str, Any]) -> None:
    cells = [
        [name, measure, *row[measure]["similarity"].values(), row[measure]["snsr"], row[measure]["snsv"]]
        for name, row in rows.items()
        for measure in ("jaccard", "serp", "prag")
    ]
    words = list(next(iter(rows.values()))["jaccard"]["similarity"])
    heads = ["ranker", "measure", *words, "SNSR", "SNSV"]
    print_rows(heads, cells, title="How like the neutral ranking, by who is said to ask (1 the same)")
    remark("SNSR is the range over attributes, SNSV their standard deviation; 0 treats all alike.")
    _events(rows)


def _memory(rows: Mapping[str, Any]) -> None:
    cells = [
        [
            kind,
            row["asked"],
            f"{row['wins']['mean']:.3f}",
            f"{row['wins']['low']:.3f}-{row['wins']['high']:.3f}",
            row["chance"],
            row["p"],
            row["gain"],
        ]
        for kind, row in rows.items()
    ]
    heads = ["what", "asked", "wins", "95 %", "chance", "p", "gain (nats)"]
    print_rows(
        heads, cells, title="Ends of titles after their own starts, next items after their own histories"
    )
    remark(
        "Winning more than chance is no proof of memory: compare another model, or data that none has read."
    )


def _events(rows: Mapping[str, Any]) -> None:
    for name, row in rows.items():
        if row["events"]:
            remark(f"{name}: {counted(row['events'])}")
