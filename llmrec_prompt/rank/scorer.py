"""Any scorer as a ranker, so that baselines and language models are judged alike."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import DataError
from llmrec_prompt.rank.base import Mask
from llmrec_prompt.scorers import NEED_LOGS, Scorer
from llmrec_prompt.scorers.base import Counting
from llmrec_prompt.types import Candidates, History, Scored


class ScorerRanker:
    """Ranks candidates by a scorer's numbers for them."""

    def __init__(self, scorer: Scorer, dataset: Dataset) -> None:
        self.scorer, self.name, self._index = scorer, scorer.name, dataset.index
        self._met = dataset.met() if scorer.name in NEED_LOGS else None

    def score(self, history: History, candidates: Candidates) -> Scored:
        """The scorer's numbers for the candidates.

        Raises:
            DataError: a candidate is not in the catalogue the scorer was fitted on.
        """
        unknown = [c.title for c in candidates if c.item_id not in self._index]
        if unknown:
            raise DataError(
                f"Candidate {unknown[0]!r} is not in the catalogue (as id or title), so {self.name!r} "
                "cannot score it. Give one that is, or use --mode likelihood or encoder, which read any text."
            )
        rows = [self._index[c.item_id] for c in candidates]
        values = np.asarray(self.scorer.score(history)[rows])
        settings, events = dict(self.scorer.settings), self._events(history)
        return Scored({self.name: values}, {self.name: 1.0}, events=events, settings=settings)

    @property
    def settings(self) -> dict[str, Any]:
        """The scorer's."""
        return dict(self.scorer.settings)

    def informed(self, candidates: Candidates) -> Mask | None:
        """Of which candidates the logs say anything, (candidates,); None if the scorer needs no logs."""
        if self._met is None:
            return None
        return np.array([self._met[self._index[c.item_id]] for c in candidates], dtype=bool)

    def _events(self, history: History) -> dict[str, int]:
        """History items that the scorer had to skip, where it counts them."""
        unknown = self.scorer.unknown(history) if isinstance(self.scorer, Counting) else 0
        return {"history_unknown": unknown} if unknown else {}

    def prepare(self, candidates: Candidates) -> None:
        """Nothing to do ahead."""

    @property
    def origin(self) -> Mapping[str, Any]:
        """No model, no template."""
        return {}
