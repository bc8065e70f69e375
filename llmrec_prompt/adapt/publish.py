"""From a trained network to an adapter folder: weights, card, model card, users, curves."""

import importlib.metadata
import json
import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict
from safetensors.torch import save

from llmrec_prompt import __version__
from llmrec_prompt.adapt import processes
from llmrec_prompt.adapt.building import Bench, autocast
from llmrec_prompt.adapt.histories import Population
from llmrec_prompt.adapt.plots import plot_curves
from llmrec_prompt.adapt.recipe import Recipe, Stage
from llmrec_prompt.adapt.settling import settle
from llmrec_prompt.adapt.validation import reported
from llmrec_prompt.adapters import (
    Base,
    Card,
    Lora,
    Parent,
    Source,
    all_terms,
    hashes_of,
    read_users,
    write_readme,
    write_users,
)
from llmrec_prompt.adapters.card import CONFIG, WEIGHTS
from llmrec_prompt.adapters.registry import HUB_ID
from llmrec_prompt.backends import parse_ref
from llmrec_prompt.cache import file_hash, whole_folder

LIBRARIES = ("torch", "transformers", "peft")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A stage that was trained, its weights still in the network."""

    recipe: Recipe
    stage: Stage
    bench: Bench
    log: list[dict[str, Any]]
    minutes: float
    start: Path | None


def publish(outcome: Outcome, target: Path) -> dict[str, float]:
    """Write the adapter folder, whole or not at all; gives the validation metrics of what was written."""
    with whole_folder(target, replace=True) as partial:
        base = outcome.bench.base.hub or _base_name(outcome)
        write_weights(outcome.bench.network.peft, base, partial)
        card = make_card(outcome, file_hash(partial / WEIGHTS))
        card.save(partial)
        before = read_users(outcome.start) if outcome.start else set()
        write_users(partial, users_of(outcome.bench) | before)
        write_readme(card, partial)
        plot_curves(outcome.log, partial / "curves.svg", title=card.name)
    return dict(card.metrics.get("validation", {}))


def write_weights(peft: Any, base: str, folder: Path) -> None:
    """PEFT's two files, in bfloat16; the network is left with the rounded weights, which then are tested."""
    with torch.no_grad():
        for parameter in peft.parameters():
            if parameter.requires_grad:
                parameter.copy_(parameter.to(torch.bfloat16))
    state = {k: v.to(torch.bfloat16).contiguous().cpu() for k, v in get_peft_model_state_dict(peft).items()}
    # `save_file` makes a file that only its owner may read, whatever the umask says.
    (folder / WEIGHTS).write_bytes(save(state, metadata={"format": "pt"}))
    config = peft.peft_config["default"].to_dict()
    config["base_model_name_or_path"], config["inference_mode"] = base, True
    plain = {k: sorted(v) if isinstance(v, set) else v for k, v in config.items()}
    (folder / CONFIG).write_text(json.dumps(plain, indent=2, default=str) + "\n", encoding="utf-8")


def make_card(outcome: Outcome, weights_hash: str) -> Card:
    """The card, with validation metrics of the weights as they were written."""
    recipe, stage, bench = outcome.recipe, outcome.stage, outcome.bench
    reader = bench.course.reader
    domains = list(dict.fromkeys(population.domain.name for population, _ in bench.sources))
    with autocast(recipe.precision):
        settled = settle(bench)
    layers = range(bench.network.first, bench.network.model.config.num_hidden_layers)
    return Card(
        name=stage.name,
        domain=stage.domain or (domains[0] if len(domains) == 1 else "general"),
        base=Base(ref=_base_name(outcome), hash=bench.base.digest, hub=bench.base.hub or None),
        objective=stage.objective,
        mode=bench.course.mode,
        templates={p.domain.name: p.prompter.fingerprint_for(bench.course.mode) for p, _ in bench.sources},
        unlabelled=_unlabelled(bench),
        language=bench.sources[0][0].prompter.domain.language,
        history=stage.history,
        scale=round(reader.scale, 4) if reader is not None else None,
        near=round(reader.near, 4) if reader is not None else None,
        focus=round(reader.focus, 4) if reader is not None else None,
        reach=max(stage.reach, stage.history) if reader is not None else None,
        centred=settled.centred,
        popularity=settled.popularity,
        lora=Lora(
            r=recipe.lora.r, alpha=recipe.lora.alpha, targets=recipe.lora.targets, layers=tuple(layers)
        ),
        data=tuple(source_of(population) for population, _ in bench.sources),
        parents=(Parent(name=outcome.start.name, hash=file_hash(outcome.start / WEIGHTS)),)
        if outcome.start
        else (),
        licence=_licences(outcome),
        seed=recipe.seed,
        metrics=reported(bench.exams, settled.curves),
        minutes=outcome.minutes,
        created=date.today(),
        weights_hash=weights_hash,
        recipe=_portable(outcome) | processes.setting(),
        versions={"llmrec-prompt": __version__, **{n: importlib.metadata.version(n) for n in LIBRARIES}},
    )


def _unlabelled(bench: Bench) -> tuple[str, ...]:
    """Domains that no source with labels is of."""
    domains = {True: set[str](), False: set[str]()}
    for population, _ in bench.sources:
        domains[population.source.labelled].add(population.domain.name)
    return tuple(sorted(domains[False] - domains[True]))


def source_of(population: Population) -> Source:
    """A data set as a card names it, with how much of it was learnt from."""
    return Source(
        name=population.dataset.name,
        fingerprint=population.dataset.fingerprint,
        licence=_licence(population),
        users=len(population.users),
        interactions=len(population.train.pairs()[0]),
    )


def users_of(bench: Bench) -> set[str]:
    """Hashes of everybody whose history was trained on or chose the checkpoint."""
    people = (population for population, _ in bench.sources)
    return set[str]().union(*(hashes_of(p.dataset, [*p.users, *p.validation]) for p in people))


def _licences(outcome: Outcome) -> str:
    """What binds the adapter: the terms of all data behind it, also of the adapter it started from."""
    own = [_licence(population) for population, _ in outcome.bench.sources]
    return all_terms([*own, *([Card.load(outcome.start).licence] if outcome.start else [])])


def _licence(population: Population) -> str:
    return str(population.dataset.meta.get("licence", "not stated"))


def _base_name(outcome: Outcome) -> str:
    """The reference of the base; of one that lay on the machine that trained, the last part of its path.

    An adapter finds its base by the hash, so that nothing needs the path.
    """
    ref = parse_ref(outcome.recipe.base)
    return ref.text if outcome.bench.base.hub else f"{ref.text.removesuffix(ref.target)}{_last(ref.target)}"


def _portable(outcome: Outcome) -> dict[str, Any]:
    """The recipe, with data, domains and adapters by name: where they lay is nobody's business."""
    stages = [outcome.stage.model_dump(mode="json")]
    recipe = outcome.recipe.model_dump(mode="json") | {"stages": stages, "base": _base_name(outcome)}
    start = recipe["start"]
    if start and (Path(start).expanduser().is_dir() or not HUB_ID.fullmatch(start)):
        recipe["start"] = _last(start)
    for source in stages[0]["sources"]:
        source["data"] = Path(source["data"]).name
        source["domain"] = source["domain"] and _last(source["domain"])
    return recipe


def _last(path: str) -> str:
    return Path(os.path.abspath(path)).name
