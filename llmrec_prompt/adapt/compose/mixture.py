"""One adapter made of several that share base, targets and layers. No torch here: a sum needs none.

With s_i = alpha_i / r_i, the sum delta W = sum_i w_i s_i B_i A_i is itself low-rank: the A_i stacked and the
w_i s_i B_i side by side give it at rank sum r_i. Task arithmetic (Ilharco et al. 2023, "Editing models with
task arithmetic"), general + sum_i w_i (A_i - general), is such a sum too. The weights of LoraHub (Huang et
al. 2023) are searched in `search.py`.
"""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from llmrec_prompt import __version__
from llmrec_prompt.adapt.compose.matrices import (
    Pairs,
    norm,
    read_scaled,
    side_by_side,
    truncated,
    write_pairs,
)
from llmrec_prompt.adapt.places import check_writable
from llmrec_prompt.adapters import (
    Adapter,
    Card,
    Lora,
    Parent,
    Source,
    all_terms,
    read_users,
    write_readme,
    write_users,
)
from llmrec_prompt.adapters.card import NAME, WEIGHTS
from llmrec_prompt.adapters.weights import MAX_RANK
from llmrec_prompt.cache import file_hash
from llmrec_prompt.errors import AdapterError, ConfigError, UnknownName

METHODS = ("sum", "arithmetic", "hub")


@dataclass(frozen=True, slots=True)
class Mixture:
    """Which adapters, and how much of each.

    `weights` are those of the plain sum; `rank` cuts the sum to its best approximation of that rank.
    """

    parents: tuple[Adapter, ...]
    weights: tuple[float, ...]
    method: str = "sum"
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """What was learnt from users of a target data set about a mixture."""

    domain: str
    fingerprint: str
    """Of the target's templates."""
    source: Source
    users: frozenset[str]
    """Hashes of all who had a say."""
    scale: float
    near: float
    focus: float
    popularity: dict[str, float]
    """Empty where nobody was asked: then it is the parents' mean."""
    centred: bool
    metrics: dict[str, Any]
    minutes: float
    seed: int


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
    partial = target.with_name(f"{name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        rank = write_pairs(pairs, mixture.parents[0].folder, partial)
        card = _card(name, mixture, rank, error, fit).model_copy(
            update={"weights_hash": file_hash(partial / WEIGHTS)}
        )
        card.save(partial)
        write_users(partial, _users(mixture, fit))
        write_readme(card, partial)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
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
    _templates(parents)


def _templates(parents: Sequence[Adapter]) -> dict[str, str]:
    found: dict[str, str] = {}
    for card in (parent.card for parent in parents):
        for domain, fingerprint in card.templates.items():
            if found.setdefault(domain, fingerprint) != fingerprint:
                raise AdapterError(
                    f"{card.name!r} was trained with other templates of {domain!r} than an adapter before "
                    "it. Train one of them anew with `llmrec adapt train`."
                )
    return found


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


def _card(name: str, mixture: Mixture, rank: int, error: float, fit: Fit | None) -> Card:
    cards = [parent.card for parent in mixture.parents]
    first = cards[0]
    domains = list(dict.fromkeys(card.domain for card in cards))
    sources = {(s.name, s.fingerprint): s for card in cards for s in card.data}
    templates = _templates(mixture.parents)
    metrics: dict[str, Any] = {"composition": {"relative error": float(f"{error:.3g}")}}
    if fit:
        sources.setdefault((fit.source.name, fit.source.fingerprint), fit.source)
        templates.setdefault(fit.domain, fit.fingerprint)
        metrics |= fit.metrics
    return Card(
        name=name,
        domain=fit.domain if fit else domains[0] if len(domains) == 1 else "general",
        base=first.base,
        objective="composed",
        mode=first.mode,
        templates=templates,
        unlabelled=_unlabelled(cards, templates, fit),
        language=first.language,
        history=max(card.history for card in cards),
        scale=fit.scale if fit else _mean(mixture, [card.scale for card in cards]),
        near=fit.near if fit else _mean(mixture, [card.near for card in cards]),
        focus=fit.focus if fit else _mean(mixture, [card.focus or card.near for card in cards]),
        reach=farthest(cards),
        centred=fit.centred if fit else all(card.centred for card in cards),
        popularity=fit.popularity if fit and fit.popularity else _mean_popularity(mixture),
        lora=Lora(r=rank, alpha=rank, targets=first.lora.targets, layers=first.lora.layers),
        data=tuple(sources.values()),
        parents=tuple(
            Parent(name=card.name, hash=card.weights_hash, weight=round(weight, 6))
            for card, weight in zip(cards, mixture.weights, strict=True)
        ),
        licence=all_terms([*(card.licence for card in cards), *([fit.source.licence] if fit else [])]),
        seed=fit.seed if fit else 0,
        metrics=metrics,
        minutes=fit.minutes if fit else 0.0,
        created=date.today(),
        recipe={"compose": {"method": mixture.method, "rank": mixture.rank}},
        versions={"llmrec-prompt": __version__, "numpy": np.__version__},
    )


def farthest(cards: Sequence[Card]) -> int | None:
    """How far back nearness looks in a mixture: as far as in any part of it."""
    return max((card.reach for card in cards if card.reach), default=None)


def _unlabelled(cards: Sequence[Card], templates: Mapping[str, str], fit: Fit | None) -> tuple[str, ...]:
    """Domains that neither a parent nor the fit had labels of."""
    labelled = {domain for card in cards for domain in card.templates if domain not in card.unlabelled}
    return tuple(sorted(templates.keys() - labelled - ({fit.domain} if fit else set())))


def _shares(mixture: Mixture) -> list[float]:
    """What each parent counts in means: its weight whatever the sign."""
    total = sum(map(abs, mixture.weights))
    return [abs(w) / total if total else 1 / len(mixture.weights) for w in mixture.weights]


def _mean(mixture: Mixture, values: Sequence[float | None]) -> float | None:
    """Of the parents that have a value, by their shares."""
    known = [(s, share) for s, share in zip(values, _shares(mixture), strict=True) if s is not None]
    if not known:
        return None
    total = sum(share for _, share in known)
    return round(sum(s * share for s, share in known) / total, 4) if total else known[0][0]


def _mean_popularity(mixture: Mixture) -> dict[str, float]:
    tasks = dict.fromkeys(task for parent in mixture.parents for task in parent.card.popularity)
    shares = _shares(mixture)
    return {
        task: round(
            sum(s * p.card.popularity.get(task, 0.0) for p, s in zip(mixture.parents, shares, strict=True)),
            3,
        )
        for task in tasks
    }


def _users(mixture: Mixture, fit: Fit | None) -> set[str]:
    hashes = set(fit.users) if fit else set()
    return hashes.union(*(read_users(parent.folder) for parent in mixture.parents))
