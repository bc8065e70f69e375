"""`llmrec adapt`: train adapters."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from llmrec_prompt.adapters import find
from llmrec_prompt.backends import DEFAULT_MODEL
from llmrec_prompt.cli import options as o
from llmrec_prompt.cli.output import print_json, print_rows, progress, remark
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.reading import parse_yaml

app = typer.Typer(help="Transfer and domain adaptation with LoRA.", no_args_is_help=True)


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe in YAML.", metavar="RECIPE.yaml")],
    out: Annotated[Path, typer.Option(help="Folder for adapters.")] = Path("adapters"),
    runs: Annotated[Path, typer.Option(help="Folder for checkpoints and logs.")] = Path("runs/adapt"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what was begun.")] = False,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change a value.", metavar="stages.0.steps=50")
    ] = None,
    as_json: o.AsJson = False,
) -> None:
    """Train the stages of a recipe.

    Example: llmrec adapt train my_recipe.yaml --resume
    """
    from llmrec_prompt.adapt import processes
    from llmrec_prompt.adapt.recipe import Recipe

    plan = Recipe.load(recipe, parsed(changes or []))
    processes.join()
    from llmrec_prompt.adapt.stages import train as run  # wants torch, which `join` looks for

    with progress() if processes.is_first() else nullcontext():
        done = run(plan, out=out, runs=runs, resume=resume, announce=_announce)
    if not processes.is_first():
        return
    if as_json:
        print_json(
            [
                {"name": t.name, "folder": str(t.folder), "metrics": t.metrics, "minutes": t.minutes}
                for t in done
            ]
        )
        return
    names = sorted({name for t in done for name in t.metrics})
    rows = [[t.name, *[t.metrics.get(n, "") for n in names], t.minutes, str(t.folder)] for t in done]
    print_rows(["adapter", *names, "minutes", "folder"], rows)


@app.command()
def compose(
    name: Annotated[str, typer.Argument(help="Of the new adapter.")],
    of: Annotated[list[str], typer.Option("--of", help="An adapter; repeat it.", metavar="ADAPTER")],
    method: Annotated[
        str, typer.Option(help="sum, arithmetic (the first one is the general one), or hub (searched).")
    ] = "sum",
    weights: Annotated[
        str | None, typer.Option(help="Numbers separated by commas; equal shares by default.")
    ] = None,
    rank: Annotated[int | None, typer.Option(min=1, help="Cut the sum to this rank.")] = None,
    data: Annotated[
        str | None, typer.Option(help="Data set whose users fit the mixture.", metavar="DIR")
    ] = None,
    users: Annotated[int, typer.Option(min=1, help="How many of its users are looked at.")] = 16,
    validation: Annotated[int, typer.Option(min=0, help="Validation users of it.")] = 16,
    test: Annotated[int, typer.Option(min=0, help="Its first users are for tests: not touched.")] = 200,
    evaluations: Annotated[int, typer.Option(min=1, help="Of the search.")] = 40,
    domain: o.DomainName = None,
    model: o.Model = DEFAULT_MODEL,
    seed: o.Seed = 0,
    out: Annotated[Path, typer.Option(help="Folder for adapters.")] = Path("adapters"),
    force: Annotated[bool, typer.Option("--force", help="Replace one of this name.")] = False,
    as_json: o.AsJson = False,
) -> None:
    """Make one adapter of several of one base.

    Example: llmrec adapt compose books-mix --of movies --of shopping --method hub --data my_books
    """
    from llmrec_prompt.adapt import processes
    from llmrec_prompt.adapt.compose import Mixture, plain_weights
    from llmrec_prompt.adapt.recipe import Source

    processes.refuse("adapt compose")
    if method == "hub" and (data is None or weights is not None):
        raise ConfigError("Method hub searches the weights on users: give --data, and no --weights.")
    parents = tuple(find(adapter) for adapter in of)
    mixture = Mixture(parents, plain_weights(method, len(parents), numbers(weights)), method, rank)
    target = data and Source(data=data, domain=domain, test=test, validation=validation)
    search = {"users": users, "base": model, "evaluations": evaluations, "seed": seed}
    print_composed(_composed(name, mixture, out, target, force=force, **search), as_json=as_json)


def _composed(name: str, mixture: Any, out: Path, target: Any, *, force: bool, **search: Any) -> Any:
    """The composition, on a target's users where there is one."""
    from llmrec_prompt.adapt.compose import compose as write

    if not target:
        return write(name, mixture, out, force=force)
    from llmrec_prompt.adapt.compose.search import Search, compose_on

    with progress():
        return compose_on(name, mixture, out, Search(target, **search), force=force)


@app.command()
def compare(
    suite: Annotated[Path, typer.Argument(help="A suite in YAML.", metavar="SUITE.yaml")],
    out: Annotated[Path | None, typer.Option(help="Run directory; runs/compare/NAME by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what was begun.")] = False,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change a value.", metavar="shots=[16,all]")
    ] = None,
    as_json: o.AsJson = False,
) -> None:
    """Ways of adapting to a domain over a number of its users, against baselines on the same users.

    With --resume a run can be widened by methods, shots and draws.

    Example: llmrec adapt compare my_comparison.yaml --set "shots=[256,all]" --resume
    """
    from llmrec_prompt.adapt import processes
    from llmrec_prompt.adapt.compare import compare as run
    from llmrec_prompt.adapt.compare.suite import Suite

    processes.refuse("adapt compare")
    plan = Suite.load(suite, parsed(changes or []))
    with progress():
        report = run(plan, out=out, resume=resume, announce=_announce)
    if as_json:
        print_json(report)
    else:
        print_comparison(report)


def print_comparison(report: dict[str, Any]) -> None:
    """NDCG@10 over shots; the other metrics are in the run's report.md."""
    from llmrec_prompt.adapt.compare.report import column, table

    shots = list(report["shots"])
    heads = [column(name, report["shots"][name]) for name in shots]
    for kind, methods in report["results"].items():
        title = f"NDCG@10 on {report['data']}, {kind} negatives, by users to learn from"
        print_rows(["", *heads], table(methods, shots, "ndcg@10"), title=title)
    for t in [*report["tests"], *report["gains"]]:
        remark(
            f"{t['method']} against {t['than']}, {t['shots']} users, {t['negatives']} negatives: "
            f"{t['difference']:+.3f}, p {t['p']:.4f} (Holm {t['p_holm']:.4f})"
        )
    remark(f"Report and picture are in {report['run']}")


def print_composed(done: Any, *, as_json: bool) -> None:
    """What went into an adapter, and what came out."""
    card = done.card
    if as_json:
        parents = {parent.name: parent.weight for parent in card.parents}
        print_json(
            {"name": card.name, "folder": str(done.folder), "rank": card.lora.r, "error": done.error}
            | {"parents": parents, "scale": card.scale, "centred": card.centred}
            | {"popularity": card.popularity, "metrics": card.metrics}
        )
        return
    print_rows(["adapter", "weight"], [[parent.name, parent.weight] for parent in card.parents])
    lines = [f"{card.name}: rank {card.lora.r}, error {done.error:.2g}, in {done.folder}"]
    if asked := card.metrics.get("shots", {}).get("asked"):
        weights = ", ".join(f"{kind} {weight:g}" for kind, weight in card.popularity.items())
        way = "items alone, centred" if card.centred else "user and items"
        lines.append(f"How it ranks, as {asked} users chose: {way}; popularity weighs {weights}")
    for line in lines:
        remark(line)


def numbers(text: str | None) -> tuple[float, ...] | None:
    """Numbers separated by commas.

    Raises:
        ConfigError: one is no number.
    """
    try:
        return None if text is None else tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--weights {text!r}: write numbers, such as 0.7,0.3.") from error


def _announce(stage: Any, estimate: Any) -> None:
    import torch

    from llmrec_prompt.adapt import processes

    for line in (f"{stage.name}: {estimate}", processes.unused(torch.cuda.device_count())):
        if line:
            remark(line)


def parsed(changes: list[str]) -> dict[str, Any]:
    """`a.b=value` pairs; values are YAML.

    Raises:
        ConfigError: one has no `=`, or its value is no YAML.
    """
    found = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise ConfigError(f"--set {change!r} has no value. Write for example --set stages.0.steps=50.")
        try:
            found[name] = parse_yaml(value, name, ConfigError)
        except ConfigError as error:
            raise ConfigError(
                f"--set {change!r}: {value!r} is no YAML. Write for example shots=[16,all]."
            ) from error
    return found
