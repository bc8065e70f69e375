"""From scores to a ranking: who is first, what was tied, what the order says of itself."""

import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llmrec_prompt.errors import DataError
from llmrec_prompt.rank.base import Array, Ranker, Request, combine, tokens_of
from llmrec_prompt.types import Candidates, History, Item, Provenance, RankedItem, Ranking


@dataclass(frozen=True, slots=True)
class Order:
    """Candidates in their order. A `Ranking` has a line for each: a whole catalogue makes it long."""

    candidates: Candidates
    scores: Array
    best_first: Sequence[int]
    """Places among the candidates: of all, or of as many as were asked for."""
    request: Request
    provenance: Provenance

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids, best first."""
        return tuple(self.candidates[i].item_id for i in self.best_first)

    def ranking(self) -> Ranking:
        """Ranks, scores and probabilities are those of the full order."""
        shares = softmax(self.scores)
        lines = tuple(
            RankedItem(
                item_id=self.candidates[i].item_id,
                title=self.candidates[i].title,
                rank=place,
                score=float(self.scores[i]),
                probability=float(shares[i]),
            )
            for place, i in enumerate(self.best_first, start=1)
        )
        user, domain = self.request.user, self.request.domain
        return Ranking(user=user, domain=domain, recommendations=lines, provenance=self.provenance)


def rank(
    ranker: Ranker,
    history: History,
    candidates: Candidates,
    request: Request | None = None,
    *,
    most: int | None = None,
) -> Ranking:
    """Rank all candidates, best first; the answer holds all, or the first `most`, of that full order.

    Raises:
        DataError, BackendError: as `put_in_order`.
    """
    return put_in_order(ranker, history, candidates, request, most=most).ranking()


def put_in_order(
    ranker: Ranker,
    history: History,
    candidates: Candidates,
    request: Request | None = None,
    *,
    most: int | None = None,
) -> Order:
    """Score all candidates and put the best first: all, or the first `most`.

    Equal scores are ordered by a seeded hash of history and item, never by the candidates' order, and
    counted: events `tied` (candidates that share their score) and `all_tied`.

    Raises:
        DataError: no candidates, or one twice.
        BackendError: the model failed, or a score is not a number.
    """
    request = request or Request()
    check_candidates(candidates)
    start = time.monotonic()
    before = tokens_of(ranker)
    scored = ranker.score(history, candidates)
    scores = combine(scored)
    events = Counter(request.events) + Counter(scored.events) + count_ties(scores)
    evaluated, reused = (a - b for a, b in zip(tokens_of(ranker), before, strict=True))
    provenance = Provenance(
        mode=ranker.name,
        domain=request.domain,
        seed=request.seed,
        weights=scored.weights,
        settings=scored.settings,
        candidates=len(candidates),
        events=dict(sorted(events.items())),
        tokens_evaluated=evaluated,
        tokens_reused=reused,
        seconds=round(time.monotonic() - start, 4),
        **ranker.origin,
    )
    places = _best_first(candidates, scores, tie_salt(history, request.seed), most)
    return Order(candidates, scores, places, request, provenance)


def check_candidates(candidates: Candidates) -> None:
    """Refuse an empty list and repetitions.

    Raises:
        DataError: as said.
    """
    if not candidates:
        raise DataError("There are no candidates to rank. Give at least one.")
    ids = [c.item_id for c in candidates]
    if len(set(ids)) < len(ids):
        twice = next(i for i, n in Counter(ids).items() if n > 1)
        raise DataError(f"Candidate {twice!r} is given more than once. Give each candidate once.")


def _best_first(candidates: Candidates, scores: Array, salt: str, most: int | None) -> list[int]:
    """Places of the candidates, the best first, ties by a salted hash; all or the first `most`."""
    places: list[int] = np.argsort(-scores, kind="stable").tolist()
    _, counts = np.unique(-scores, return_counts=True)
    end = 0
    for count in counts.tolist():
        start, end = end, end + count
        if count > 1:  # nobody else's hash is needed
            places[start:end] = sorted(places[start:end], key=lambda i: salted(salt, candidates[i]))
        if most is not None and end >= most:
            break
    return places[:most]


def salted(salt: str, item: Item) -> bytes:
    """A hash that puts items in an order of no meaning."""
    return hashlib.sha256(f"{salt}\0{item.item_id}".encode()).digest()


def softmax(scores: Array) -> Array:
    """exp(s) / sum exp(s), over all candidates.

    >>> softmax(np.array([0.0, 0.0])).tolist()
    [0.5, 0.5]
    """
    shifted = np.exp(scores - scores.max())
    return np.asarray(shifted / shifted.sum())


def tie_salt(history: History, seed: int) -> str:
    """What orders ties: fixed for a history and seed, different from one user to the next."""
    return "\0".join([str(seed), *(item.item_id for item in history)])


def count_ties(scores: Array) -> Counter[str]:
    """How many candidates share their score with another; whether all do."""
    _, counts = np.unique(scores, return_counts=True)
    events: Counter[str] = Counter()
    if (counts > 1).any():
        events["tied"] = int(counts[counts > 1].sum())
    if len(counts) == 1 and len(scores) > 1:
        events["all_tied"] = 1
    return events
