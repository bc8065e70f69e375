"""Ranking by likelihood: how much a history raises the log-probability of an item's line.

score(item) = log p(line | history) - weight * prior(line), both summed over the line's tokens. It cannot
invent an item, has no position bias, and takes any number of candidates.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from llmrec_prompt.adapters import Card
from llmrec_prompt.backends import Backend, ScoreRequest, require
from llmrec_prompt.cache import NumberStore, cache_dir, content_key
from llmrec_prompt.errors import DataError
from llmrec_prompt.rank.base import Array
from llmrec_prompt.rank.learnt import foreign_domain
from llmrec_prompt.rank.model import ModelRanker, within_context
from llmrec_prompt.rank.priors import Priors
from llmrec_prompt.templates import HistoryPrompt, Prompter
from llmrec_prompt.types import Candidates, History, Scored


class LikelihoodRanker(ModelRanker):
    """The model alone.

    Args:
        backend: must be able to score.
        prompter: renders histories and lines.
        peers: histories whose mean likelihood is each item's prior; the empty history if there are none.
        prior_weight: how much of the prior is taken off; 0 ranks by plain likelihood.
        store: where priors are kept; the user's cache if None.
        card: of the adapter in force, if it has one.

    Raises:
        Unsupported: the backend cannot score.
    """

    name = "likelihood"

    def __init__(
        self,
        backend: Backend,
        prompter: Prompter,
        *,
        peers: Sequence[History] = (),
        prior_weight: float = 1.0,
        store: NumberStore | None = None,
        card: Card | None = None,
    ) -> None:
        require(backend, "score", wanted_by="Mode 'likelihood'")
        super().__init__(backend, prompter, card)
        self._weight = prior_weight
        prompts = [self._peer_prompt(peer) for peer in peers]
        store = store or NumberStore(cache_dir() / "priors.sqlite")
        self._priors = Priors(backend, prompts, prompter.history(()).text, store)
        self._last: tuple[tuple[str | None, str], dict[str, float]] = ((None, ""), {})

    def _peer_prompt(self, peer: History) -> str:
        """As much of a peer's history as leaves a quarter of the context to the candidates."""
        prompt, room = self._prompter.history(peer), self._backend.info.context * 3 // 4
        while prompt.shown > 1 and self._backend.count_tokens(prompt.text) > room:
            prompt = self._prompter.history(peer, show=prompt.shown - 1)
        return prompt.text

    def score(self, history: History, candidates: Candidates) -> Scored:
        """Calibrated log-likelihoods, in nats.

        Raises:
            DataError: an empty history has nothing to say about the candidates.
            ContextOverflow: not even the latest history item fits with the longest candidate.
        """
        if not history:
            raise DataError("The history is empty, so a likelihood says nothing. Give at least one item.")
        events = Counter(foreign_domain(self._card, self._prompter))
        lines = [self._prompter.continuation(item, events) for item in candidates]
        prompt, likelihood = self._likelihood(history, lines, events)
        prior = self._priors.means(lines, without=prompt.text) if self._weight else np.zeros(len(lines))
        events.update(prompt.events)
        settings = {
            "history_shown": prompt.shown,
            "history_total": len(history),
            "prior_prompts": len(self._priors.prompts),
            "prior_weight": self._weight,
            "priors": content_key(*self._priors.prompts)[:16],
        }
        scores = likelihood - self._weight * prior
        return Scored({self.name: scores}, {self.name: 1.0}, events=dict(events), settings=settings)

    def _likelihood(
        self, history: History, lines: list[str], events: Counter[str]
    ) -> tuple[HistoryPrompt, Array]:
        """Score under as much of the history as fits; what had to go is counted."""

        def ask(show: int) -> tuple[HistoryPrompt, Array]:
            prompt = self._prompter.history(history, show=show)
            return prompt, self._scores(prompt.text, lines)

        return within_context(ask, min(len(history), self._prompter.domain.history), events)[0]

    def _scores(self, prompt: str, lines: list[str]) -> Array:
        """Log-likelihoods; those of the latest prompt are remembered, so that a fusion does not pay twice."""
        key = (self._backend.adapter, prompt)
        last = self._last  # read once: another thread may put its own there
        known = last[1] if last[0] == key else {}
        missing = list(dict.fromkeys(line for line in lines if line not in known))
        if missing:
            scores = self._backend.score([ScoreRequest(prompt, missing)])[0]
            known |= {line: score.logprob for line, score in zip(missing, scores, strict=True)}
        self._last = (key, known)
        return np.array([known[line] for line in lines])

    def prepare(self, candidates: Candidates) -> None:
        """Compute the candidates' priors ahead."""
        if self._weight:
            self._priors.prepare([self._prompter.continuation(item) for item in candidates])
