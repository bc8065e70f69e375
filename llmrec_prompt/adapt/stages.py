"""From a recipe to adapters: stage by stage, each resumable, each ending in a folder with a card."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from llmrec_prompt.adapt import processes
from llmrec_prompt.adapt import runs as folders
from llmrec_prompt.adapt.building import build, populations
from llmrec_prompt.adapt.estimate import Estimate, estimate
from llmrec_prompt.adapt.histories import Population
from llmrec_prompt.adapt.places import check_writable
from llmrec_prompt.adapt.publish import Outcome, publish
from llmrec_prompt.adapt.recipe import Recipe, Stage
from llmrec_prompt.adapt.starting import check_unseen
from llmrec_prompt.adapt.trainer import run
from llmrec_prompt.adapters import find
from llmrec_prompt.cache import write_atomically

Announce = Callable[[Stage, Estimate], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished stage: where its adapter is and how good it was on validation users."""

    name: str
    folder: Path
    metrics: dict[str, float]
    minutes: float


@dataclass(frozen=True, slots=True)
class _Job:
    """A stage, the adapter it starts from, its run's folder, and where its adapter goes."""

    recipe: Recipe
    stage: Stage
    start: Path | None
    folder: Path
    target: Path


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
        ConfigError: a stage was run with other settings, data, base or start, or was begun and `resume` is
            not set; a folder cannot be written to; the adapter to start from knows validation users.
        DataError: a source gives nothing to train on.
        AdapterError: the adapter to start from does not fit the base or the recipe.
    """
    processes.join()
    for place, option in ((out, "--out"), (runs, "--runs")):
        processes.by_first(partial(check_writable, place, option))
    start = find(recipe.start).folder if recipe.start else None
    done = []
    for stage in recipe.stages:
        folder = runs / stage.name
        job = _Job(recipe, stage, start, folder, (out if stage.publish else folder) / stage.name)
        done.append(_go(job, announce, resume=resume))
        start = done[-1].folder
    return done


def _go(job: _Job, announce: Announce | None, *, resume: bool) -> Trained:
    """Find a stage finished, or train it, or the rest of it."""
    people = processes.first_alone_first(partial(populations, job.stage))
    facts = processes.by_first(partial(folders.facts, job.recipe, job.stage, job.start, people))
    processes.by_first(partial(folders.check, job.folder, facts, resume=resume))
    finished = processes.by_first(partial(_finished, job.folder, job.target))
    return finished or _train_stage(job, people, facts, announce)


def _finished(folder: Path, target: Path) -> Trained | None:
    path = folder / "done.json"
    if not path.exists() or not target.is_dir():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    return Trained(folder.name, target, found["metrics"], found["minutes"])


def _train_stage(
    job: _Job, people: Sequence[Population], facts: dict[str, Any], announce: Announce | None
) -> Trained:
    """The folder is this run's only when all that can fail before the first step has not."""
    recipe, stage, clock = job.recipe, job.stage, folders.Clock(job.folder)
    processes.by_first(partial(check_unseen, job.start, people))
    torch.manual_seed(recipe.seed)
    bench = processes.first_alone_first(partial(build, recipe, stage, job.start, people))
    lessons = bench.lessons
    if announce and processes.is_first():
        announce(stage, estimate(bench, stage, recipe.precision))
    processes.by_first(partial(folders.claim, job.folder, facts))
    processes.by_first(clock.keep)
    rows = run(bench.course.module, lessons, bench.evaluate, recipe=recipe, stage=stage, folder=job.folder)
    minutes = round(processes.by_first(clock.keep) / 60, 2)
    outcome = Outcome(recipe, stage, bench, rows, minutes, job.start)
    return processes.by_first(partial(_finish, outcome, job.folder, job.target))


def _finish(outcome: Outcome, folder: Path, target: Path) -> Trained:
    metrics = publish(outcome, target)
    kept = {"metrics": metrics, "minutes": outcome.minutes}
    write_atomically(folder / "done.json", json.dumps(kept) + "\n")
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    return Trained(outcome.stage.name, target, metrics, outcome.minutes)
