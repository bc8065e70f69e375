"""Taking up an adapter to train on: wholly and at its own scale, or not at all."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from peft import set_peft_model_state_dict
from safetensors.torch import load_file

from llmrec_prompt.adapt.histories import Population
from llmrec_prompt.adapt.recipe import Lora
from llmrec_prompt.adapters import Card, overlap
from llmrec_prompt.adapters.card import WEIGHTS
from llmrec_prompt.adapters.config import alpha_of, config_faults, read_config
from llmrec_prompt.adapters.weights import read_pairs
from llmrec_prompt.errors import AdapterError, ConfigError


def take_up(peft: Any, start: Path, lora: Lora, layers: Sequence[int]) -> None:
    """Set the matrices of a PEFT model to those of an adapter.

    Layers that are trained and that the adapter does not have begin as those of a new adapter do.

    Args:
        peft: the model that is trained.
        start: a PEFT folder.
        lora: what is trained.
        layers: numbers of the layers that are trained.

    Raises:
        AdapterError: the adapter has another rank, scale or targets, or layers that are not trained; part of
            it would be lost or weigh something else.
    """
    config = read_config(start)
    faults = config_faults(config) or list(_differences(start, config, lora, layers))
    if faults:
        raise AdapterError(
            f"Training cannot go on from {start}: {'; '.join(faults)}. Give the recipe the `lora` of that "
            "adapter, or another start."
        )
    found = set_peft_model_state_dict(peft, load_file(start / WEIGHTS))
    if found.unexpected_keys:
        raise AdapterError(
            f"Training cannot go on from {start}: the base has no place for {found.unexpected_keys[0]}. "
            "Start from an adapter of this base."
        )


def _differences(start: Path, config: dict[str, Any], lora: Lora, layers: Sequence[int]) -> Iterator[str]:
    """What an adapter has otherwise than what is trained, by its files rather than by what a card says."""
    pairs = read_pairs(start)
    ranks = sorted({pair.a.shape[0] for pair in pairs})
    targets = sorted({pair.linear.rpartition(".")[2] for pair in pairs})
    lost = sorted({pair.layer for pair in pairs} - set(layers))
    if ranks != [lora.r]:
        yield f"its r is {', '.join(map(str, ranks))}, the recipe's {lora.r}"
    if alpha_of(config) != lora.alpha:
        yield f"its alpha is {alpha_of(config):g}, the recipe's {lora.alpha}"
    if targets != sorted(lora.targets):
        yield f"its targets are {', '.join(targets)}, the recipe's {', '.join(sorted(lora.targets))}"
    if lost:
        yield f"it adapts layer {lost[0]}, the recipe layers {min(layers)} to {max(layers)} alone"


def check_unseen(start: Path | None, people: Sequence[Population]) -> None:
    """See that the adapter to start from learnt from nobody who is to validate: it remembers them.

    Those who chose its own checkpoint are in its `users.txt` as well, and may choose again.

    Args:
        start: its folder; where there is none, there is nothing to see.
        people: the users of each source.

    Raises:
        ConfigError: it did.
    """
    if start is None:
        return
    for population in people:
        name, judges = population.dataset.name, population.validation
        if seen := remembered(start, population):
            raise ConfigError(
                f"The adapter to start from, {start.name!r}, saw {len(seen)} of the {len(judges)} validation "
                f"users of {name} in its training, so they cannot choose. Give the source the `test`, "
                "`validation` and `draw` of its latest training, another `draw`, or `validation: 0`."
            )


def remembered(folder: Path, population: Population) -> set[str]:
    """The validation users that an adapter learnt from; those who chose its own checkpoint are none."""
    seen = overlap(folder, population.dataset, population.validation)
    return seen - _judges(Card.load(folder), population)


def _judges(card: Card, population: Population) -> set[str]:
    """Who was for validation when an adapter was trained, as far as its card tells; nobody in other data."""
    found = set[str]()
    for stage in card.recipe.get("stages", ()):
        for data, source in zip(card.data, stage["sources"], strict=False):
            if (data.name, data.fingerprint) == (population.dataset.name, population.dataset.fingerprint):
                numbers = source["test"], source["validation"], source.get("draw", 0)
                found |= set(population.judges(*numbers))
    return found
