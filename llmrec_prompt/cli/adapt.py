"""`llmrec adapt`: train adapters."""

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from llmrec_prompt.cli import options as o
from llmrec_prompt.cli.output import errors, print_json, print_rows, progress
from llmrec_prompt.errors import ConfigError

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

    Example: llmrec adapt train adapters/recipes/movies.yaml --resume
    """
    from llmrec_prompt.adapt.recipe import Recipe
    from llmrec_prompt.adapt.stages import train as run

    plan = Recipe.load(recipe, parsed(changes or []))
    with progress():
        done = run(plan, out=out, runs=runs, resume=resume, announce=_announce)
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


def _announce(stage: Any, estimate: Any) -> None:
    errors.print(f"{stage.name}: {estimate}", style="dim", markup=False, highlight=False)


def parsed(changes: list[str]) -> dict[str, Any]:
    """`a.b=value` pairs; values are YAML.

    Raises:
        ConfigError: one has no `=`.
    """
    found = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise ConfigError(f"--set {change!r} has no value. Write for example --set stages.0.steps=50.")
        found[name] = yaml.safe_load(value)
    return found
