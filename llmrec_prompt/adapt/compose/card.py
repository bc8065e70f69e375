"""What a mixture is made of, what was learnt about it from users, and the card that says so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from llmrec_prompt import __version__
from llmrec_prompt.adapters import Adapter, Card, Lora, Parent, Source, all_terms
from llmrec_prompt.errors import AdapterError


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


def make_card(name: str, mixture: Mixture, rank: int, error: float, fit: Fit | None) -> Card:
    """All but the hash of the weights that were written, at `rank` and with that relative error."""
    cards = [parent.card for parent in mixture.parents]
    first = cards[0]
    sources = {(s.name, s.fingerprint): s for card in cards for s in card.data}
    templates = templates_of(mixture.parents)
    metrics: dict[str, Any] = {"composition": {"relative error": float(f"{error:.3g}")}}
    if fit:
        sources.setdefault((fit.source.name, fit.source.fingerprint), fit.source)
        templates.setdefault(fit.domain, fit.fingerprint)
        metrics |= fit.metrics
    return Card(
        name=name,
        domain=fit.domain if fit else _domain(cards),
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


def templates_of(parents: Sequence[Adapter]) -> dict[str, str]:
    """Fingerprints by domain.

    Raises:
        AdapterError: two parents differ in one.
    """
    found: dict[str, str] = {}
    for card in (parent.card for parent in parents):
        for domain, fingerprint in card.templates.items():
            if found.setdefault(domain, fingerprint) != fingerprint:
                raise AdapterError(
                    f"{card.name!r} was trained with other templates of {domain!r} than an adapter before "
                    "it. Train one of them anew with `llmrec adapt train`."
                )
    return found


def _domain(cards: Sequence[Card]) -> str:
    """That of all parents; `general` if they have several."""
    domains = {card.domain for card in cards}
    return domains.pop() if len(domains) == 1 else "general"


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
