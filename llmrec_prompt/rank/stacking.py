"""Weights of a fusion, learnt from what users of the logs chose last (stacking, Wolpert 1992).

Held-out users choose one of some candidates; what the parts say of these is known. Weights are those of
`rank/choices.py`, drawn to the fusion's own: a few dozen choices tell how far a domain differs, not what it
is.
"""

import contextlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np

from llmrec_prompt.adapters import overlap
from llmrec_prompt.cache import cache_dir, content_key, write_atomically
from llmrec_prompt.data import Split, drawable, leave_last_out, mixed, sample_candidates
from llmrec_prompt.errors import ConfigError, ContextOverflow, DataError
from llmrec_prompt.progress import track
from llmrec_prompt.rank.base import Ranker
from llmrec_prompt.rank.building import Rankers
from llmrec_prompt.rank.choices import Choice, conditional_logit
from llmrec_prompt.rank.fused import FusedRanker
from llmrec_prompt.rank.identity import card_facts, code_fingerprint, data_facts
from llmrec_prompt.types import Item

USERS = 40
"""Who are asked, at most; each costs what ranking `CANDIDATES` does."""
FEWEST = 10
"""Fewer answers teach nothing."""
CANDIDATES = 20
SAMPLED = ("uniform", "popular")
"""Tasks whose candidates are drawn; those of others are retrieved, `RETRIEVED` of them."""
RETRIEVED = 60
ROUNDS = 10
"""A retriever finds some targets only: so many times `USERS` are looked at, until enough are found."""
SCALE = 0.6
STRENGTH = 40.0
"""Weights are drawn to `SCALE` times the fusion's, as strongly as so many choices draw. `eval/tune.py` prints
what that gives on users that no results page tests."""
SALT = 1_000_003
"""Added to the seed, so that those who are asked are not the first whom an evaluation tests."""

Question = tuple[Sequence[Item], Sequence[Item], int]
"""A history, candidates, and which of these was chosen."""


def learnt_weights(
    rankers: Rankers, start: Mapping[str, float], parts: Mapping[str, Ranker]
) -> dict[str, float] | None:
    """Weights for the parts of a fusion, near those that it starts with; None where too few users teach any.

    Nobody is asked whom the adapter in force has learnt from. What was learnt is kept on disk.

    Raises:
        ConfigError: a negative weight to start with, or a model on a server: no user's history is sent there.
    """
    if min(start.values(), default=0) < 0:
        raise ConfigError(f"Mode stacked learns weights from 0 up; found {dict(start)}. Give none below.")
    asks_model = any(part.origin for part in parts.values())
    if asks_model and rankers.backend.info.engine == "openai":
        raise ConfigError("Mode stacked would send histories of other users to the server. Use mode fused.")
    users = can_be_asked(rankers, rankers.backend.adapter if asks_model else None)
    facts = json.dumps(_facts(rankers, start, parts, users), sort_keys=True, default=str)
    path = cache_dir() / "weights" / f"{content_key(facts)}.json"
    if kept := _kept(path, start):
        return kept
    weights = _learn(rankers, start, users)
    if weights:
        with contextlib.suppress(OSError):  # a cache that cannot be written
            write_atomically(path, json.dumps(weights))
    return weights


def can_be_asked(rankers: Rankers, adapter: str | None) -> list[str]:
    """Users with two likes or more whom an adapter has not learnt from, in a seeded order."""
    dataset = rankers.given.dataset
    learnt_from = overlap(adapter, dataset, dataset.users) if adapter else set()
    users = {user for user in dataset.users if len(dataset.history_items(user)) > 1} - learnt_from
    if not users:
        return []
    split = leave_last_out(dataset, users=None, seed=rankers.given.seed + SALT, among=users)
    return [case.user_id for case in split.cases]


def _facts(
    rankers: Rankers, start: Mapping[str, float], parts: Mapping[str, Ranker], users: Sequence[str]
) -> dict[str, object]:
    """All that weights depend on; names of models and adapters do not count, their hashes do."""
    given = rankers.given
    origins = [
        {k: v for k, v in part.origin.items() if k not in ("model", "adapter")} for part in parts.values()
    ]
    info = rankers.backend.info if any(origins) else None
    retrieves = rankers.task not in SAMPLED
    return {
        "start": dict(start),
        "parts": [origins, [getattr(part, "settings", {}) for part in parts.values()]],
        "asked": [rankers.task, given.seed, content_key(*users[: USERS * ROUNDS])],
        "retriever": rankers.scorer("embedding").settings if retrieves and users else {},
        "template": given.prompter.fingerprint,
        "likelihood": [rankers.prior_weight, rankers.calibration],
        "card": card_facts(rankers.card),
        "engine": [info.identity, info.context] if info else [],
        "data": [given.dataset.fingerprint, *data_facts(given.dataset).values()],
        "code": code_fingerprint(),
    }


def _kept(path: Path, start: Mapping[str, float]) -> dict[str, float] | None:
    """Weights of a file; None if there is none, or it is damaged."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        known = isinstance(found, dict) and list(found) == list(start)
        if known and all(isinstance(w, float) and 0 <= w < math.inf for w in found.values()):
            return cast(dict[str, float], found)
    return None


def _learn(rankers: Rankers, start: Mapping[str, float], users: Sequence[str]) -> dict[str, float] | None:
    """Asks users, some at a time, until enough have answered."""
    choices: list[Choice] = []
    for begin in range(0, min(len(users), USERS * ROUNDS), USERS):
        if len(choices) < USERS:
            choices += answers(rankers, list(start), users[begin : begin + USERS], USERS - len(choices))
    if len(choices) < FEWEST:
        return None
    weights = conditional_logit(choices, SCALE * np.array(list(start.values())), STRENGTH)
    return dict(zip(start, weights.tolist(), strict=True)) if weights.any() else None


def answers(rankers: Rankers, parts: Sequence[str], users: Sequence[str], most: int) -> list[Choice]:
    """What some users chose, their last likes held out of all that the parts know."""
    dataset, seed = rankers.given.dataset, rankers.given.seed + SALT
    split = leave_last_out(dataset, users=None, seed=seed, among=set(users))
    inner = rankers.over(split.train)
    fusion = FusedRanker([(inner.ranker(part), 1.0) for part in parts])
    questions = list(islice(asked(split, inner, seed), most))
    fusion.prepare(list({item.item_id: item for _, shown, _ in questions for item in shown}.values()))
    found = (choice(fusion, parts, q) for q in track(questions, "Learning weights", len(questions)))
    return [answer for answer in found if answer]


def asked(split: Split, inner: Rankers, seed: int) -> Iterator[Question]:
    """What ranking here will be asked: about negatives of the task's kind, or a sample of what is retrieved.

    A sample whose items were all as likely to be drawn does for all alternatives (McFadden 1978); beside the
    z-scores, which are those of the sample.
    """
    train, kind = split.train, cast(Any, inner.task)
    retriever = None if kind in SAMPLED else inner.retriever("fused", RETRIEVED)
    for case in split.cases:
        history = [train.item(item_id) for item_id in case.history]
        if retriever is None:
            many = min(CANDIDATES, drawable(split, case, kind) + 1)
            ids = sample_candidates(split, case, n=many, kind=kind, seed=seed)
        else:
            found = [item.item_id for item in retriever.retrieve(history, train.consumed(case.user_id))]
            others = [item_id for item_id in found if item_id != case.target]
            if len(others) == len(found):  # what is not retrieved is never ranked
                continue
            ids = (case.target, *mixed(others, case, kind, seed=seed)[: CANDIDATES - 1])
        if len(ids) > 1:
            yield history, [train.item(item_id) for item_id in ids], ids.index(case.target)


def choice(fusion: FusedRanker, parts: Sequence[str], question: Question) -> Choice | None:
    """One answered question; None where the parts refuse it.

    What all candidates have alike (a fusion's offset) changes no choice.
    """
    history, candidates, chosen = question
    try:
        scored = fusion.score(history, candidates)
    except (DataError, ContextOverflow):
        return None
    return np.stack([scored.weights[part] * scored.parts[part] for part in parts], axis=1), chosen
