"""One adapter made of several that share base, targets and layers. No torch here: a sum needs none.

With s_i = alpha_i / r_i, the sum delta W = sum_i w_i s_i B_i A_i is itself low-rank: the A_i stacked and the
w_i s_i B_i side by side give it at rank sum r_i. Task arithmetic (Ilharco et al. 2023, "Editing models with
task arithmetic"), general + sum_i w_i (A_i - general), is such a sum too. The weights of LoraHub (Huang et
al. 2023) are searched in `search.py`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llmrec_prompt.adapt.compose.card import (
    Fit,
    Mixture,
    make_card,
    templates_of,
)
from llmrec_prompt.adapt.compose.matrices import (
    Pairs,
    norm,
    read_scaled,
    side_by_side,
    truncated,
    write_pairs,
)
from llmrec_prompt.adapt.places import check_writable
from llmrec_prompt.adapters import Adapter, Card, read_users, write_readme, write_users
from llmrec_prompt.adapters.card import NAME, WEIGHTS
from llmrec_prompt.adapters.config import MAX_RANK
from llmrec_prompt.cache import file_hash, whole_folder
from llmrec_prompt.errors import AdapterError, ConfigError, UnknownName

METHODS = ("sum", "arithmetic", "hub")


@dataclass(frozen=True, slots=True)
class Composed:
    """An adapter that was written: `error` is |written - exact sum| / |exact sum|, Frobenius norms."""

    folder: Path
    card: Card
    error: float


def plain_weights(method: str, count: int, weights: Sequence[float] | None) -> tuple[float, ...]:
    """What each of `count` adapters weighs in the plain sum.

    `sum` (and `hub` to begin with): as given, equal shares by default. `arithmetic`: the first adapter is
    the general one, weights are those of the others' differences from it, equal shares by default; then
    general + sum w_i (A_i - general) = (1 - sum w_i) general + sum w_i A_i.

    >>> plain_weights("arithmetic", 3, (1.0, -0.5))
    (0.5, 1.0, -0.5)

    Raises:
        UnknownName: no such method.
        ConfigError: the number of weights does not fit.
    """
    if method not in METHODS:
        raise UnknownName("method of composition", method, METHODS)
    wanted = count - 1 if method == "arithmetic" else count
    if wanted < 1:
        raise ConfigError(f"{method!r} takes {1 if wanted else 2} adapters or more, given are {count}.")
    given = tuple(weights) if weights is not None else (1 / wanted,) * wanted
    if len(given) != wanted or not all(np.isfinite(given)):
        raise ConfigError(f"{len(given)} weights for {wanted} adapters. Give one finite number each.")
    return (1 - sum(given), *given) if method == "arithmetic" else given


def compose(
    name: str, mixture: Mixture, out: Path, *, fit: Fit | None = None, force: bool = False
) -> Composed:
    """Write the folder of a composed adapter, whole or not at all.

    Args:
        name: of the new adapter.
        mixture: what it is made of.
        out: the folder it goes into.
        fit: temperature and popularity weights chosen on users of a target; the parents' means if None.
        force: replace what is there.

    Raises:
        AdapterError: the adapters do not fit together, or the name is taken.
        ConfigError: no adapter can have the name, `out` cannot be written to, or the ranks add up to more
            than engines load and no smaller one was asked for.
    """
    target = free_place(name, out, force=force)
    check_parents(mixture.parents)
    pairs, error = summed(mixture)
    with whole_folder(target, replace=True) as partial:
        rank = write_pairs(pairs, mixture.parents[0].folder, partial)
        card = make_card(name, mixture, rank, error, fit).model_copy(
            update={"weights_hash": file_hash(partial / WEIGHTS)}
        )
        card.save(partial)
        write_users(partial, _users(mixture, fit))
        write_readme(card, partial)
    return Composed(target, card, error)


def free_place(name: str, out: Path, *, force: bool) -> Path:
    """Where an adapter of a name goes.

    Raises:
        AdapterError: the name is taken, and not to be replaced.
        ConfigError: no adapter can have the name, or `out` cannot be written to.
    """
    if not re.fullmatch(NAME, name):
        raise ConfigError(f"Name {name!r}: write small letters, digits, dots, dashes, such as books-mix.")
    target = out / name
    if target.exists() and not force:
        raise AdapterError(f"{target} exists already. Choose another name, or say --force.")
    check_writable(out, "--out")
    return target


def check_parents(parents: Sequence[Adapter]) -> None:
    """See that adapters can be added.

    Raises:
        AdapterError: they differ in base, mode, adapted linears, or in the templates of a domain.
    """
    first = parents[0].card
    for card in (parent.card for parent in parents[1:]):
        for what, one, other in (
            ("base", first.base.hash, card.base.hash),
            ("mode", first.mode, card.mode),
            ("targets", sorted(first.lora.targets), sorted(card.lora.targets)),
            ("layers", first.lora.layers, card.lora.layers),
            ("language", first.language, card.language),
        ):
            if one != other:
                raise AdapterError(
                    f"{first.name!r} and {card.name!r} differ in {what} ({one}, {other}), so they cannot be "
                    "added. Compose adapters of one recipe."
                )
    templates_of(parents)


def summed(mixture: Mixture) -> tuple[Pairs, float]:
    """The sum as it will be written, cut and rounded, and its relative error.

    Raises:
        AdapterError: an adapter is damaged, or their linears are of other sizes.
        ConfigError: the ranks add up to more than engines load and no smaller one was asked for.
    """
    read = [read_scaled(parent.folder) for parent in mixture.parents]
    exact = side_by_side(read, mixture.weights)
    total = sum(next(iter(pairs.values()))[0].shape[0] for pairs in read)
    if mixture.rank is None and total > MAX_RANK:
        raise ConfigError(
            f"The ranks add up to {total}, more than the {MAX_RANK} that engines load. Give --rank."
        )
    written = exact if mixture.rank is None else truncated(exact, min(mixture.rank, total))
    rounded = {key: (half(a), half(b)) for key, (a, b) in written.items()}
    whole = norm(exact)
    difference = norm(side_by_side([rounded, exact], (1.0, -1.0)))
    return rounded, difference / whole if whole else 0.0


def half(matrix: Any) -> Any:
    """Rounded to bfloat16, nearest even, still in single precision.

    >>> float(half(np.float32([1.00390625])[0]))  # half-way between 1 and the next, 1.0078125
    1.0
    """
    bits = np.asarray(matrix, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


def _users(mixture: Mixture, fit: Fit | None) -> set[str]:
    hashes = set(fit.users) if fit else set()
    return hashes.union(*(read_users(parent.folder) for parent in mixture.parents))
