"""Validation of adapters of every mode: the same users and candidates, scored as their mode does."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from llmrec_prompt.adapt.encode import Encode
from llmrec_prompt.adapt.histories import Population
from llmrec_prompt.adapt.network import Network
from llmrec_prompt.adapt.questions import Question
from llmrec_prompt.adapt.validation import Array, Curves, Task, Validation, quality
from llmrec_prompt.backends.hf.backend import HfBackend
from llmrec_prompt.cache import NumberStore
from llmrec_prompt.rank.base import combine
from llmrec_prompt.rank.building import PEERS
from llmrec_prompt.rank.likelihood import LikelihoodRanker
from llmrec_prompt.rank.priors import calibration_histories

Judge = Callable[[Validation, Array | None], Curves]
"""(users of a source, states of its catalogue if that is to be ranked too) → NDCG@10 by candidates and
popularity."""


def by_states(network: Network, encode: Encode) -> Judge:
    """As the encoder mode ranks."""
    return lambda exam, catalogue: exam.curves(network, encode, catalogue)


def by_likelihood(network: Network, tokenizer: Any, populations: list[Population]) -> Judge:
    """As the likelihood mode ranks, with priors computed anew; no popularity added, no catalogue ranked."""

    def judge(exam: Validation, catalogue: Array | None) -> Curves:
        population = populations[exam.source]
        items = population.dataset.items
        ranker = _live_ranker(network, tokenizer, population)
        shown = {row for tasks in exam.tasks.values() for task in tasks for row in task.candidates}
        ranker.prepare([items[row] for row in sorted(shown)])

        def score(task: Task) -> Array:
            history, candidates = ([items[row] for row in rows] for rows in (task.history, task.candidates))
            return combine(ranker.score(history, candidates))

        return _curves(exam, score)

    return judge


def _live_ranker(network: Network, tokenizer: Any, population: Population) -> LikelihoodRanker:
    """The real ranker over the network as it is now; what it keeps is forgotten with it."""
    dataset, prompter = population.dataset, population.prompter
    backend = HfBackend(tokenizer, network.model, ref="in training", model_hash="in training")
    peers = calibration_histories(
        dataset, source="catalogue", count=PEERS, length=prompter.domain.history, seed=0
    )
    return LikelihoodRanker(backend, prompter, peers=peers, store=NumberStore(None))


class Scorer(Protocol):
    """Scores the candidates of a question; the answer is not looked at."""

    def scores(self, source: int, question: Question) -> Array:
        """The higher the better, (candidates,)."""
        ...


def by_answers(objective: Scorer, shown: int) -> Judge:
    """By the logits of answer tokens, with the scorer that is trained."""

    def judge(exam: Validation, catalogue: Array | None) -> Curves:
        def score(task: Task) -> Array:
            question = Question(task.history[-shown:], task.candidates, -1)
            return objective.scores(exam.source, question)

        return _curves(exam, score)

    return judge


def _curves(exam: Validation, score: Callable[[Task], Array]) -> Curves:
    """One weight of popularity only: 0."""
    return {
        kind: {0.0: np.array([quality(score(task), task) for task in tasks])}
        for kind, tasks in exam.tasks.items()
    }
