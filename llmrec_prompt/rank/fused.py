"""Several rankers as one: z-scored over the candidates, weighted, added."""

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from llmrec_prompt.backends import Usage
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.rank.base import Array, Informed, Mask, Ranker, combine, is_listwise
from llmrec_prompt.scorers import NEED_LOGS
from llmrec_prompt.types import Candidates, History, Scored

DIGITS = 9
"""Of a sum of z-scores. Where parts disagree about two items the sums are equal but for the last bits."""


class FusedRanker:
    """score = sum over parts of weight * (part - mean) / standard deviation, over the candidates at hand.

    A part whose scores are all equal adds nothing and is counted as event `flat:PART`. What rests on logs (a
    part, or an encoder's popularity) says nothing of a candidate that nobody has met yet: a new item is not
    an unloved one. It gets the mean of the other candidates there, and is counted as `not_in_logs`.

    Args:
        parts: rankers and their weights.
        name: of the mode.
        events: counted with every answer.

    Raises:
        ConfigError: no part has a weight.
    """

    def __init__(
        self,
        parts: Sequence[tuple[Ranker, float]],
        *,
        name: str = "fused",
        events: Mapping[str, int] | None = None,
    ) -> None:
        self.name, self._events = name, events or {}
        self._parts = [(ranker, weight) for ranker, weight in parts if weight]
        if not self._parts:
            raise ConfigError("A fusion needs at least one part with a weight. Give one.")
        self._decimals = DIGITS - math.floor(math.log10(sum(abs(weight) for _, weight in self._parts)))

    @property
    def weights(self) -> dict[str, float]:
        """Of the parts."""
        return {ranker.name: weight for ranker, weight in self._parts}

    @property
    def settings(self) -> dict[str, Any]:
        """Of each part, where it has any."""
        return {ranker.name: getattr(ranker, "settings", {}) for ranker, _ in self._parts}

    def score(self, history: History, candidates: Candidates) -> Scored:
        """All parts' raw scores, and weights that carry the z-scaling."""
        fused = Scored({}, {}, decimals=self._decimals)
        events = Counter(self._events)
        for ranker, weight in self._parts:
            scored = ranker.score(history, candidates)
            events.update(scored.events)
            unknown = self._unknown(ranker, candidates)
            if scored.parts.keys() <= {*NEED_LOGS}:  # else the model knows them, and only popularity does not
                fused.stand_ins |= {ranker.name: unknown} if unknown.any() else {}
            values = self._own(ranker, with_means(scored, unknown))
            events["not_in_logs"] = max(events["not_in_logs"], int(unknown.sum()))
            scale = float(values.std()) if np.ptp(values) else 0.0  # a rounded mean gives equals a spread
            if scale < 1e-12 and len(candidates) > 1:
                events[f"flat:{ranker.name}"] += 1
            fused.parts[ranker.name] = values
            fused.weights[ranker.name] = weight / scale if scale >= 1e-12 else 0.0
            fused.offset -= fused.weights[ranker.name] * float(values.mean())
            fused.settings[ranker.name] = {"weight": weight, **scored.settings}
        fused.events = dict(+events)
        return fused

    def _own(self, ranker: Ranker, scored: Scored) -> Array:
        """A part's whole score, less what is another part of this fusion (an encoder's popularity)."""
        others = {other.name for other, _ in self._parts} - {ranker.name}
        weights = {name: weight for name, weight in scored.weights.items() if name not in others}
        return combine(dataclasses.replace(scored, weights=weights))

    @staticmethod
    def _unknown(ranker: Ranker, candidates: Candidates) -> Mask:
        """The candidates that nobody has met, for a part that rests on logs; (candidates,)."""
        known = ranker.informed(candidates) if isinstance(ranker, Informed) else None
        return np.zeros(len(candidates), bool) if known is None else ~known

    def prepare(self, candidates: Candidates) -> None:
        """Let every part do so."""
        for ranker, _ in self._parts:
            ranker.prepare(candidates)

    @property
    def listwise(self) -> bool:
        """Whether a part is."""
        return any(is_listwise(ranker) for ranker, _ in self._parts)

    @property
    def usage(self) -> Usage:
        """Summed over the parts."""
        found = [getattr(ranker, "usage", None) for ranker, _ in self._parts]
        distinct = {id(usage): usage for usage in found if usage}.values()  # parts may share one model
        return Usage(sum(u.evaluated for u in distinct), sum(u.reused for u in distinct))

    @property
    def origin(self) -> Mapping[str, Any]:
        """That of the part with a model."""
        return {key: value for ranker, _ in self._parts for key, value in ranker.origin.items()}


def with_means(scored: Scored, unknown: Mask) -> Scored:
    """The mean of the other candidates in what rests on logs, where these do not know one."""
    if not unknown.any() or unknown.all():
        return scored
    parts = {
        name: np.where(unknown, np.asarray(part)[~unknown].mean(), part) if name in NEED_LOGS else part
        for name, part in scored.parts.items()
    }
    return dataclasses.replace(scored, parts=parts)
