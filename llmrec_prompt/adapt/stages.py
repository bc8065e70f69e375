"""From a recipe to adapters: stage by stage, each resumable, each ending in a folder with a card."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from llmrec_prompt.adapt import processes
from llmrec_prompt.adapt.building import build
from llmrec_prompt.adapt.estimate import Estimate, estimate
from llmrec_prompt.adapt.publish import Outcome, publish
from llmrec_prompt.adapt.recipe import Recipe, Stage
from llmrec_prompt.adapt.trainer import run
from llmrec_prompt.adapters import find
from llmrec_prompt.cache import write_atomically
from llmrec_prompt.errors import ConfigError

Announce = Callable[[Stage, Estimate], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished stage: where its adapter is and how good it was on validation users."""

    name: str
    folder: Path
    metrics: dict[str, float]
    minutes: float


def train(
    recipe: Recipe,
    *,
    out: Path = Path("adapters"),
    runs: Path = Path("runs/adapt"),
    resume: bool = False,
    announce: Announce | None = None,
) -> list[Trained]:
    """Train every stage of a recipe that is not finished yet.

    Started in several processes (see `processes`), it trains in all of them, a batch each a step.

    Args:
        recipe: what to do.
        out: where adapters go, a folder each.
        runs: where checkpoints and logs go.
        resume: go on with runs that are there; without it they are an error.
        announce: is told the estimated time and memory of a stage before it starts.

    Raises:
        ConfigError: a stage was run with other settings, or was begun and `resume` is not set.
        DataError: a source gives nothing to train on.
        AdapterError: the adapter to start from does not fit the base.
    """
    processes.join()
    start = find(recipe.start).folder if recipe.start else None
    done = []
    for stage in recipe.stages:
        folder = runs / stage.name
        processes.by_first(partial(_claim, folder, recipe, stage, start, resume=resume))
        target = (out if stage.publish else folder) / stage.name
        finished = _finished(folder, target)
        done.append(finished or _train_stage(recipe, stage, start, folder, target, announce))
        start = done[-1].folder
    return done


def _claim(folder: Path, recipe: Recipe, stage: Stage, start: Path | None, *, resume: bool) -> None:
    """Make the run's folder, or see that it holds this very run."""
    wanted = {
        "base": recipe.base,
        "seed": recipe.seed,
        "lora": recipe.lora.model_dump(mode="json"),
        "precision": recipe.precision,
        "stage": stage.model_dump(mode="json"),
        "start": start.name if start else None,
        **processes.setting(),
    }
    path = folder / "recipe.json"
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found != wanted:
            keys = ", ".join(sorted(k for k in wanted | found if found.get(k) != wanted.get(k)))
            raise ConfigError(
                f"{folder} was trained with another {keys}. Rename the stage or remove the folder."
            )
        if not resume:
            raise ConfigError(f"{folder} is there already. Say --resume to go on with it, or remove it.")
    else:
        write_atomically(path, json.dumps(wanted, indent=1) + "\n")


def _finished(folder: Path, target: Path) -> Trained | None:
    path = folder / "done.json"
    if not path.exists() or not target.is_dir():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    return Trained(folder.name, target, found["metrics"], found["minutes"])


def _train_stage(
    recipe: Recipe, stage: Stage, start: Path | None, folder: Path, target: Path, announce: Announce | None
) -> Trained:
    begin = time.monotonic()
    torch.manual_seed(recipe.seed)
    bench = processes.first_alone_first(partial(build, recipe, stage, start))
    if announce and processes.is_first():
        announce(stage, estimate(bench, stage))
    rows = run(bench.module, bench.lessons, bench.evaluate, recipe=recipe, stage=stage, folder=folder)
    minutes = processes.by_first(lambda: _minutes(folder, time.monotonic() - begin))
    outcome = Outcome(recipe, stage, bench, rows, minutes, start)
    return processes.by_first(partial(_finish, outcome, folder, target))


def _finish(outcome: Outcome, folder: Path, target: Path) -> Trained:
    metrics = publish(outcome, target)
    kept = {"metrics": metrics, "minutes": outcome.minutes}
    write_atomically(folder / "done.json", json.dumps(kept) + "\n")
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    return Trained(outcome.stage.name, target, metrics, outcome.minutes)


def _minutes(folder: Path, seconds: float) -> float:
    """Of this and earlier, interrupted goes together."""
    path = folder / "seconds.json"
    before = json.loads(path.read_text()) if path.exists() else 0.0
    write_atomically(path, json.dumps(before + seconds))
    return round((before + seconds) / 60, 2)
