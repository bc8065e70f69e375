"""Weights of a fusion, learnt from what users of the logs chose last (stacking, Wolpert 1992).

Held-out users choose one of some candidates; what the parts say of these is known. Weights are those of a
conditional logit (McFadden 1974), p(choice) = softmax(sum of weight * z-score), none below zero (Breiman
1996), and drawn to the fusion's own: a few dozen choices tell how far a domain differs, not what it is.
"""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from llmrec_prompt.adapters import overlap
from llmrec_prompt.cache import cache_dir, content_key, write_atomically
from llmrec_prompt.data import Dataset, Split, leave_last_out, mixed, sample_candidates
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.progress import track
from llmrec_prompt.rank.base import Array, Ranker
from llmrec_prompt.rank.fused import FusedRanker
from llmrec_prompt.rank.identity import card_facts, code_fingerprint, data_facts
from llmrec_prompt.types import Item

if TYPE_CHECKING:
    from llmrec_prompt.rank.building import Rankers

USERS = 40
"""Who are asked, at most; each costs what ranking `CANDIDATES` does."""
FEWEST = 10
SAMPLED = ("uniform", "popular")
"""Tasks whose candidates are drawn; those of others are retrieved."""
CANDIDATES = 20
RETRIEVED = 60
REACH = 10
"""Of the whole catalogue a retriever finds some targets only: so many times as many users are looked at."""
SCALE = 0.6
STRENGTH = 40.0
"""Weights are drawn to `SCALE` times the fusion's, as strongly as so many choices draw. Chosen on users that
no results page tests: anything between 10 and 80 is level there."""

Question = tuple[Sequence[Item], Sequence[Item], int]
"""A history, candidates, and which of these was chosen."""
Choice = tuple[Array, int]
"""What the parts say of the candidates, (candidates, parts), and the one that was chosen."""


def learnt_weights(
    rankers: "Rankers", start: Mapping[str, float], parts: Mapping[str, Ranker]
) -> dict[str, float]:
    """Weights for the parts of a fusion, which are near those that it starts with; kept on disk.

    Nobody is asked whom the adapter in force has learnt from.

    Raises:
        ConfigError: too few users of the logs can be asked.
    """
    key = content_key(json.dumps(_facts(rankers, start, parts), sort_keys=True, default=str))
    path = cache_dir() / "weights" / f"{key}.json"
    with contextlib.suppress(OSError, ValueError):  # none yet, or damaged: learnt again
        return {part: float(json.loads(path.read_text())[part]) for part in start}
    weights = _stack(rankers, start)
    with contextlib.suppress(OSError):  # a cache that cannot be written
        write_atomically(path, json.dumps(weights))
    return weights


def _facts(rankers: "Rankers", start: Mapping[str, float], parts: Mapping[str, Ranker]) -> dict[str, object]:
    """All that weights depend on."""
    given, info = rankers.given, rankers.backend.info
    return {
        "start": dict(start),
        "parts": [[dict(part.origin), getattr(part, "settings", {})] for part in parts.values()],
        "asked": [rankers.task, given.seed],
        "likelihood": [rankers.prior_weight, rankers.calibration],
        "card": card_facts(rankers.card),
        "engine": [info.identity, info.context],
        "data": [given.dataset.fingerprint, *data_facts(given.dataset).values()],
        "code": code_fingerprint(),
    }


def _stack(rankers: "Rankers", start: Mapping[str, float]) -> dict[str, float]:
    split = validation(rankers)
    inner = rankers.over(split.train)
    fusion = FusedRanker([(inner.ranker(part), 1.0) for part in start])
    questions = list(islice(asked(split, inner), USERS))
    if len(questions) < FEWEST:
        raise too_few(split.train, len(questions))
    fusion.prepare(list({item.item_id: item for _, shown, _ in questions for item in shown}.values()))
    choices = [choice(fusion, list(start), q) for q in track(questions, "Learning weights", len(questions))]
    weights = conditional_logit(choices, SCALE * np.array(list(start.values())), STRENGTH)
    return dict(zip(start, weights.tolist(), strict=True))


def validation(rankers: "Rankers") -> Split:
    """Users in a seeded order, their last like held out."""
    dataset, adapter = rankers.given.dataset, rankers.backend.adapter
    learnt_from = overlap(adapter, dataset, dataset.users) if adapter else set()
    can = {user for user in dataset.users if len(dataset.history_items(user)) > 1} - learnt_from
    if len(can) < FEWEST:
        raise too_few(dataset, len(can))
    many = USERS if rankers.task in SAMPLED else USERS * REACH
    return leave_last_out(dataset, users=many, seed=rankers.given.seed, among=can)


def too_few(dataset: Dataset, found: int) -> ConfigError:
    """An error for logs that cannot teach weights."""
    return ConfigError(
        f"Mode stacked learns its weights from {FEWEST} users or more, with two likes each, whom the adapter "
        f"has not learnt from; {dataset.name} has {found}. Use mode fused."
    )


def asked(split: Split, inner: "Rankers") -> Iterator[Question]:
    """What ranking here will be asked: about negatives of the task's kind, or some of what is retrieved.

    A sample of the alternatives, all as likely to be drawn, gives the weights that all of them would
    (McFadden 1978), at a third of the price.
    """
    train, kind, seed = split.train, inner.task, inner.given.seed
    retriever = inner.retriever("fused", RETRIEVED)
    for case in split.cases:
        history = [train.item(item_id) for item_id in case.history]
        if kind in SAMPLED:
            ids = sample_candidates(split, case, n=CANDIDATES, kind=cast(Any, kind), seed=seed)
        else:
            found = [item.item_id for item in retriever.retrieve(history, train.consumed(case.user_id))]
            if case.target not in found:  # what is not retrieved is never ranked
                continue
            others = mixed([item_id for item_id in found if item_id != case.target], case, kind, seed=seed)
            ids = (case.target, *others[: CANDIDATES - 1])
        yield history, [train.item(item_id) for item_id in ids], ids.index(case.target)


def choice(fusion: FusedRanker, parts: Sequence[str], question: Question) -> Choice:
    """One answered question; what all candidates have alike (a fusion's offset) changes no choice."""
    history, candidates, chosen = question
    scored = fusion.score(history, candidates)
    return np.stack([scored.weights[part] * scored.parts[part] for part in parts], axis=1), chosen


def conditional_logit(choices: Sequence[Choice], start: Array, strength: float) -> Array:
    """Weights (parts,) that maximise log p(choices) - strength / 2 * |weights - start|^2, none below zero.

    Newton's steps, part after part: what is to be found is concave, so they end at the one maximum.

    >>> better = (np.array([[1.0, 0.0], [-1.0, 0.0]]), 0)
    >>> conditional_logit([better] * 50, np.array([0.5, 0.5]), 5.0).round(2).tolist()
    [1.48, 0.5]
    """
    weights = np.maximum(start, 0.0)
    for _ in range(200):
        before = weights.copy()
        for part in range(len(weights)):
            slope, bend = _slope(choices, weights, part)
            slope -= strength * (weights[part] - start[part])
            weights[part] = max(weights[part] + float(np.clip(slope / (bend + strength), -1, 1)), 0.0)
        if np.abs(weights - before).max() < 1e-9:
            break
    return weights


def _slope(choices: Iterable[Choice], weights: Array, part: int) -> tuple[float, float]:
    """First derivative of the log-likelihood by a part's weight, and the second with its sign turned."""
    slope = bend = 0.0
    for values, chosen in choices:
        total = values @ weights
        p = np.exp(total - total.max())
        p /= p.sum()
        mean = float(p @ values[:, part])
        slope += values[chosen, part] - mean
        bend += float(p @ values[:, part] ** 2) - mean**2
    return slope, bend
