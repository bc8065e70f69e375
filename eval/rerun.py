"""Train the shipped adapters anew from their recipes, and see whether the same thing comes out.

    python eval/rerun.py general movies shopping games [--out runs/again]

A row for each recipe in Markdown: NDCG@10 of the shipped adapter and of the one trained again on the
validation users of the recipe, both measured here and now, with 95 % bootstrap intervals over these users.
It takes as long as the trainings (on two cores half an hour or less each, games up to 80 minutes), goes on
where it was stopped, and leaves the adapters in the folder.
"""

import argparse
from pathlib import Path
from typing import Any

import torch

from llmrec_prompt.adapt import Recipe
from llmrec_prompt.adapt.building import autocast, build
from llmrec_prompt.adapt.stages import train
from llmrec_prompt.adapt.validation import reported
from llmrec_prompt.adapters import find
from llmrec_prompt.cli.output import progress

RECIPES = Path("adapters/recipes")
METRICS = ("ndcg@10", "ndcg@10 uniform", "ndcg@10 popular")


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", help="Recipes in adapters/recipes, without .yaml.")
    parser.add_argument("--out", type=Path, default=Path("runs/again"))
    options = parser.parse_args()
    print(
        f"| recipe | source | adapter | {' | '.join(METRICS)} |\n|{'---|' * (3 + len(METRICS))}", flush=True
    )
    for name in options.names:
        recipe = Recipe.load(RECIPES / f"{name}.yaml")
        with progress():
            again = train(recipe, out=options.out, runs=options.out / "runs" / name, resume=True)[-1].folder
            shipped = find(recipe.stages[-1].name).folder
            for which, folder in (("shipped", shipped), ("again", again)):
                for source, cells in measure(recipe, folder).items():
                    print(f"| {name} | {source} | {which} | {' | '.join(cells)} |", flush=True)


@torch.no_grad()
def measure(recipe: Recipe, folder: Path) -> dict[str, list[str]]:
    """A cell for each metric of each source of the recipe's last stage."""
    bench = build(recipe, recipe.stages[-1], folder)
    with autocast(recipe.precision):
        found: dict[str, Any] = reported(bench.exams, bench.curves())
    means = found.get("by source") or {bench.exams[0].name: found["validation"]}
    return {
        source: [cell(row[metric], found["interval"][source][metric]) for metric in METRICS]
        for source, row in means.items()
    }


def cell(mean: float, bounds: list[float]) -> str:
    """`mean (low-high)`."""
    return f"{mean:.3f} ({bounds[0]:.3f}-{bounds[1]:.3f})"


if __name__ == "__main__":
    main()
