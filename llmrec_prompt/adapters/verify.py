"""Whether an adapter folder is what its card says, and safe to load."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llmrec_prompt.adapters.card import CARD, CONFIG, README, USERS, WEIGHTS, Card
from llmrec_prompt.adapters.config import config_faults, read_config
from llmrec_prompt.adapters.embedded import is_twin
from llmrec_prompt.adapters.registry import find_served, strays
from llmrec_prompt.adapters.users import LIKES, count_users, read_users
from llmrec_prompt.adapters.weights import read_pairs
from llmrec_prompt.cache import file_hash
from llmrec_prompt.errors import AdapterError, TemplateError
from llmrec_prompt.templates import Prompter, list_domains, load_domain

PICKLES = {".bin", ".ckpt", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth", ".py", ".so"}
"""Endings of files that may run code when loaded."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: whether it is well, and what was found."""

    name: str
    ok: bool
    found: str


def verify(folder: Path | str, base_hash: str | None = None) -> list[Check]:
    """Look an adapter over without loading a model.

    Args:
        folder: of the adapter, or its GGUF twin; the weights of that are compared when it is exported.
        base_hash: `ModelInfo.hash` of a model it shall fit; not checked if None.
    """
    return list(_checks(Path(folder), base_hash))


def require_sound(folder: Path | str) -> None:
    """Look an adapter over.

    Raises:
        AdapterError: a check fails.
    """
    failed = [check for check in verify(folder) if not check.ok]
    if failed:
        reasons = "; ".join(f"{check.name}: {check.found.rstrip('.')}" for check in failed)
        raise AdapterError(f"The adapter {folder} is not sound: {reasons}.")


def _checks(folder: Path, base_hash: str | None) -> Iterator[Check]:
    twin = is_twin(folder)
    looks: dict[str, Callable[[Path], str]]
    looks = {} if twin else {"files": _files, "lora": _lora, "weights": _weights}
    try:
        card = find_served(folder).card if twin else Card.load(folder)
        yield Check("card", True, f"{card.name}, for {card.domain}, serves mode {card.mode}")
        if not twin:
            looks |= {"hash": lambda f: _hash(f, card), "shape": lambda f: _shape(f, card)}
        looks |= {"templates": lambda _: _templates(card), "users": lambda f: _users(f, card)}
        if base_hash is not None:
            looks["base"] = lambda _: _base(card, base_hash)
    except AdapterError as error:
        yield Check("card", False, str(error))
    for name, look in looks.items():
        try:
            yield Check(name, True, look(folder))
        except (AdapterError, TemplateError) as error:
            yield Check(name, False, str(error))


def _files(folder: Path) -> str:
    missing = [name for name in (CARD, CONFIG, WEIGHTS, README) if not (folder / name).is_file()]
    if missing:
        raise AdapterError(f"missing: {', '.join(missing)}")
    unsafe = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.suffix.lower() in PICKLES)
    if unsafe:
        raise AdapterError(f"may run code when loaded: {', '.join(unsafe)}. Delete them")
    if out := strays(folder):
        raise AdapterError(f"links to files outside the folder: {', '.join(out)}. Put the files there")
    return "all there, safetensors only"


def _lora(folder: Path) -> str:
    config = read_config(folder)
    if faults := config_faults(config):
        raise AdapterError("; ".join(faults))
    return f"r {config['r']}, loads in peft, vLLM and llama.cpp"


def _weights(folder: Path) -> str:
    pairs = read_pairs(folder)
    odd = [
        f"layer {p.layer} {p.linear}"
        for p in pairs
        if not (np.isfinite(p.a).all() and np.isfinite(p.b).all())
    ]
    if odd:
        raise AdapterError(f"not finite: {', '.join(odd[:3])}")
    return f"{len(pairs)} linears in {len({p.layer for p in pairs})} layers"


def _hash(folder: Path, card: Card) -> str:
    found = file_hash(folder / WEIGHTS) if (folder / WEIGHTS).is_file() else "nothing"
    if found != card.weights_hash:
        raise AdapterError(f"the weights are {found}, but the card was written for {card.weights_hash}")
    return found


def _shape(folder: Path, card: Card) -> str:
    pairs = read_pairs(folder)
    ranks, layers = {p.a.shape[0] for p in pairs}, {p.layer for p in pairs}
    targets = {p.linear.rpartition(".")[2] for p in pairs}
    claimed = (
        {card.lora.r},
        set(card.lora.targets),
        layers if card.lora.layers is None else set(card.lora.layers),
    )
    if (ranks, targets, layers) != claimed:
        raise AdapterError(
            f"r {sorted(ranks)}, targets {sorted(targets)}, layers {sorted(layers)}: the card says otherwise"
        )
    return f"r {card.lora.r} on {', '.join(card.lora.targets)}"


def _templates(card: Card) -> str:
    here = list_domains()
    known = [domain for domain in card.templates if domain in here]
    for domain in known:
        prompter = Prompter(load_domain(domain), language=card.language)
        card.check_template(domain, prompter.fingerprint_for(card.mode))
    absent = sorted(set(card.templates) - set(known))
    same = f"as in training: {', '.join(known) or 'none'}"
    return f"{same}; not here, so not checked: {', '.join(absent)}" if absent else same


def _users(folder: Path, card: Card) -> str:
    users, stated = read_users(folder), sum(source.users for source in card.data)
    if not all(re.fullmatch(rf"({LIKES})?[0-9a-f]{{16}}", user) for user in users):
        raise AdapterError(f"{USERS} holds something else than hashes")
    if stated and not users:
        raise AdapterError(f"trained on {stated} users but {USERS} names none, so no leak could be found")
    return f"{count_users(users)} hashes of users trained on"


def _base(card: Card, base_hash: str) -> str:
    card.check_base(base_hash)
    return f"{card.base.ref} ({card.base.hash})"
