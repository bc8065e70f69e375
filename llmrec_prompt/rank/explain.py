"""Reasons by leaving out: what a candidate's score loses when one history item is not there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llmrec_prompt.progress import track
from llmrec_prompt.rank.base import Array, Ranker, is_listwise
from llmrec_prompt.types import Candidates, History, Item, Scored


@dataclass(frozen=True, slots=True)
class Reason:
    """A history item and by how much it raises the candidate's score (in the ranking's own units)."""

    item: Item
    gain: float


def leave_one_out(
    ranker: Ranker,
    history: History,
    candidates: Candidates,
    weights: Mapping[str, float],
    *,
    places: Sequence[int] | None = None,
    latest: int = 10,
) -> list[list[Reason]]:
    """For each candidate, the history items that raise its score, the strongest first.

    The weights of the whole ranking are kept, so that gains are in units of its scores. A mode that asks
    about all candidates at once is asked about all of them here, too; others about those to be explained.

    Args:
        ranker: the mode.
        history: what the user had, oldest first.
        candidates: all that were ranked.
        weights: of the ranking.
        places: which of the candidates are to be explained, all if None.
        latest: how many of the latest items are tried: each costs one more evaluation. With a single history
            item there is nothing left to compare with, and no reasons are given.
    """
    places = range(len(candidates)) if places is None else places
    if len(history) < 2:
        return [[] for _ in places]
    if not is_listwise(ranker):
        candidates, places = [candidates[i] for i in places], range(len(places))
    whole = _total(ranker.score(history, candidates), weights)
    tried = list(range(len(history)))[-latest:]
    gains = np.array(
        [
            whole - _total(ranker.score([*history[:i], *history[i + 1 :]], candidates), weights)
            for i in track(tried, "Reasons", len(tried))
        ]
    )
    return [_reasons(history, tried, gains[:, c]) for c in places]


def _total(scored: Scored, weights: Mapping[str, float]) -> Array:
    """The weighted sum; what stands in for something unknown has no reasons."""
    parts = [w * np.where(scored.stand_ins.get(p, False), 0.0, scored.parts[p]) for p, w in weights.items()]
    return np.asarray(np.sum(parts, axis=0))


def _reasons(history: History, tried: list[int], gains: Array) -> list[Reason]:
    strongest = np.argsort(-gains, kind="stable")
    return [Reason(history[tried[i]], float(gains[i])) for i in strongest if gains[i] > 1e-9]


def in_words(reasons: list[Reason], *, most: int = 2) -> tuple[str, ...]:
    """The strongest reasons as short texts, titles and gains."""
    return tuple(f"{r.item.title} ({r.gain:+.2f})" for r in reasons[:most])
