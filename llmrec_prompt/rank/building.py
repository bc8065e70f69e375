"""From the name of a mode to a ranker; scorers and priors are shared between modes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from llmrec_prompt.backends import Backend
from llmrec_prompt.errors import ConfigError, UnknownName
from llmrec_prompt.rank.base import Ranker
from llmrec_prompt.rank.fused import FusedRanker
from llmrec_prompt.rank.likelihood import LikelihoodRanker
from llmrec_prompt.rank.priors import calibration_histories
from llmrec_prompt.rank.scorer import ScorerRanker
from llmrec_prompt.scorers import NEED_LOGS, SCORERS, Ingredients, Scorer, build_scorer

MODES = (*SCORERS, "likelihood", "fused")
PEERS = 4
"""Calibration histories behind an item's prior: each costs one more evaluation of every candidate."""

WEIGHTS: Mapping[str, float] = {"likelihood": 1.0, "embedding": 1.0, "popularity": 0.25, "co-occurrence": 1.0}
"""The fusion's default weights (from `eval/tune.py`); the last two count only where there are logs."""


@dataclass
class Rankers:
    """Builds rankers and scorers from the same ingredients, each once."""

    given: Ingredients
    weights: Mapping[str, float] = field(default_factory=lambda: dict(WEIGHTS))
    prior_weight: float = 1.0
    calibration: str = "catalogue"
    _scorers: dict[str, Scorer] = field(default_factory=dict)

    def scorer(self, name: str) -> Scorer:
        """A fitted scorer.

        Raises:
            UnknownName: no such scorer.
        """
        if name not in self._scorers:
            self._scorers[name] = build_scorer(name, self.given)
        return self._scorers[name]

    @cached_property
    def backend(self) -> Backend:
        """The language model.

        Raises:
            ConfigError: there is none.
        """
        if self.given.backend is None:
            raise ConfigError("This mode needs a language model. Give one with --model.")
        return self.given.backend()

    @cached_property
    def _likelihood(self) -> LikelihoodRanker:
        dataset, prompter = self.given.dataset, self.given.prompter
        peers = calibration_histories(
            dataset,
            source=self.calibration,
            count=PEERS,
            length=prompter.domain.history,
            seed=self.given.seed,
        )
        return LikelihoodRanker(self.backend, prompter, peers=peers, prior_weight=self.prior_weight)

    def ranker(self, mode: str) -> Ranker:
        """The ranker of a mode.

        Raises:
            UnknownName: no such mode.
            Unsupported: the backend lacks what the mode asks for.
        """
        if mode in SCORERS:
            return ScorerRanker(self.scorer(mode), self.given.dataset)
        if mode == "likelihood":
            return self._likelihood
        if mode == "fused":
            return self._fused()
        raise UnknownName("mode", mode, MODES)

    def _fused(self) -> FusedRanker:
        """The weighted parts; those that stand on logs only where there are logs."""
        logs = self.given.dataset.has_logs
        unknown = [part for part in self.weights if part not in MODES or part == "fused"]
        if unknown:
            raise UnknownName("part of a fusion", unknown[0], [m for m in MODES if m != "fused"])
        parts = [(p, w) for p, w in self.weights.items() if w and (logs or p not in NEED_LOGS)]
        return FusedRanker([(self.ranker(part), weight) for part, weight in parts])
