"""A mode as it is deployed: retrieval finds candidates in the catalogue, the mode ranks those."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from llmrec_prompt.backends import Usage
from llmrec_prompt.rank.base import Ranker, combine, is_listwise
from llmrec_prompt.retrieve import Retriever
from llmrec_prompt.types import Candidates, History, Scored

NOT_RETRIEVED = "not_retrieved"


class RetrievedRanker:
    """Ranks what retrieval finds among the candidates, as `Recommender.recommend` does.

    The others, which the mode is not asked about, share one score below all of those: event
    `not_retrieved` counts them. An evaluation over the whole catalogue so costs what recommending costs.

    Args:
        ranker: the mode.
        retriever: finds its candidates; see `Rankers.retriever`.
    """

    def __init__(self, ranker: Ranker, retriever: Retriever) -> None:
        self._ranker, self._retriever, self.name = ranker, retriever, ranker.name

    def score(self, history: History, candidates: Candidates) -> Scored:
        """The mode's scores where it was asked, the same lower one everywhere else.

        Raises:
            DataError: retrieval finds nothing among the candidates.
        """
        places = {item.item_id: place for place, item in enumerate(candidates)}
        found = self._retriever.among(history, places)
        scored = self._ranker.score(history, found)
        values = combine(scored)
        scores = np.full(len(candidates), values.min() - 1.0)
        scores[[places[item.item_id] for item in found]] = values
        events = {**scored.events, NOT_RETRIEVED: len(candidates) - len(found)}
        return Scored({self.name: scores}, {self.name: 1.0}, events=events, settings=scored.settings)

    def prepare(self, candidates: Candidates) -> None:
        """Nothing: which candidates the mode will be asked about depends on the history."""

    @property
    def listwise(self) -> bool:
        """Whether the mode is."""
        return is_listwise(self._ranker)

    @property
    def usage(self) -> Usage | None:
        """The mode's."""
        usage: Usage | None = getattr(self._ranker, "usage", None)
        return usage

    @property
    def origin(self) -> Mapping[str, Any]:
        """The mode's."""
        return self._ranker.origin
