"""The folder of a stage's run: what it is a run of, and how long that has taken."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmrec_prompt.adapt import processes
from llmrec_prompt.adapt.histories import Population
from llmrec_prompt.adapt.network import half
from llmrec_prompt.adapt.recipe import Recipe, Stage
from llmrec_prompt.adapters.card import WEIGHTS
from llmrec_prompt.backends import parse_ref
from llmrec_prompt.backends.hf.loading import locate
from llmrec_prompt.cache import file_hash, write_atomically
from llmrec_prompt.errors import ConfigError

RECIPE, SECONDS = "recipe.json", "seconds.json"


def facts(recipe: Recipe, stage: Stage, start: Path | None, people: Sequence[Population]) -> dict[str, Any]:
    """All that decides what a stage's adapter becomes; what has a name by what is in it, too.

    Raises:
        ConfigError: there is no such base.
        TemplateError: a template of an objective is missing or malformed.
    """
    named: dict[str, Any] = {
        "base": recipe.base,
        "seed": recipe.seed,
        "lora": recipe.lora.model_dump(mode="json"),
        "stage": stage.model_dump(mode="json"),
        "start": start.name if start else None,
    }
    return named | {
        "precision": "bf16" if half(recipe.precision) else "fp32",
        "base_hash": locate(parse_ref(recipe.base)).digest,
        "start_hash": file_hash(start / WEIGHTS) if start else None,
        "data": [population.dataset.fingerprint for population in people],
        "templates": [[p.prompter.fingerprint_for(name) for name in stage.objectives] for p in people],
        **processes.setting(),
    }


def check(folder: Path, wanted: dict[str, Any], *, resume: bool) -> None:
    """See that a folder is free, or holds this very run and may be gone on with.

    Raises:
        ConfigError: it holds another run, or this one and `resume` is not set.
    """
    path = folder / RECIPE
    if not path.exists():
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    if found != wanted:
        keys = ", ".join(sorted(k for k in wanted | found if found.get(k) != wanted.get(k)))
        raise ConfigError(f"{folder} was trained with another {keys}. Rename the stage or remove the folder.")
    if not resume:
        raise ConfigError(f"{folder} is there already. Say --resume to go on with it, or remove it.")


def claim(folder: Path, wanted: dict[str, Any]) -> None:
    """Make the folder a run's."""
    write_atomically(folder / RECIPE, json.dumps(wanted, indent=1) + "\n")


class Clock:
    """Seconds that a run has taken, those of earlier, interrupted goes among them."""

    def __init__(self, folder: Path) -> None:
        self._path, self._begin = folder / SECONDS, time.monotonic()
        self._before = float(json.loads(self._path.read_text())) if self._path.exists() else 0.0

    def keep(self) -> float:
        """Write them down, so that a kill loses what comes after this alone; gives them."""
        seconds = self._before + time.monotonic() - self._begin
        write_atomically(self._path, json.dumps(seconds))
        return seconds
