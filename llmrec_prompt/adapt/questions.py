"""Objectives that compare candidates after a prompt: which ones, and the module that is trained on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import nn

from llmrec_prompt.adapt.dense import Lesson
from llmrec_prompt.adapt.histories import Population, Window
from llmrec_prompt.adapt.network import Network
from llmrec_prompt.errors import DataError


@dataclass(frozen=True, slots=True)
class Question:
    """Which of these comes after this history? Catalogue rows; `answer` is a place in `candidates`."""

    history: tuple[int, ...]
    candidates: tuple[int, ...]
    answer: int


class Objective(Protocol):
    """A loss on questions of one source."""

    def loss(self, source: int, questions: Sequence[Question]) -> Any:
        """A scalar."""
        ...


class Asking(nn.Module):  # type: ignore[misc]
    """Network and objective; called with a lesson it asks about each of its windows' targets."""

    _keys_to_ignore_on_save = None
    """Trainer asks every model for it."""

    def __init__(self, network: Network, objective: Objective, draws: Sequence["Draw"]) -> None:
        super().__init__()
        self.network = network
        self.objective, self._draws = objective, draws

    def forward(self, lesson: Lesson) -> dict[str, Any]:
        """The loss, as Trainer wants it."""
        (part,) = lesson.parts
        draw = self._draws[part.source]
        questions = [draw(window, (lesson.step, i)) for i, window in enumerate(part.windows)]
        return {"loss": self.objective.loss(part.source, questions)}


class Draw:
    """Draws negatives by popularity among the users trained on, and shuffles the target among them.

    By popularity, because then the softmax learns log p(item | history) - log p(item), which is what a
    calibrated likelihood says and what the encoder learns. Where an item with logs is lacking, any serves.

    Args:
        population: whose popularity.
        count: candidates of a question.
        seed: the same questions for the same seed.
    """

    def __init__(self, population: Population, count: int, seed: int) -> None:
        self._name, self._count, self._seed = population.dataset.name, count, seed
        self._popularity = population.train.popularity()

    def __call__(self, window: Window, salt: tuple[int, ...]) -> Question:
        """The question that a window with one target asks.

        Raises:
            DataError: the catalogue is too small.
        """
        dice = np.random.default_rng([self._seed, *salt])
        (target,) = window.targets
        fair = np.setdiff1d(np.arange(len(self._popularity)), [*window.own, target])
        if len(fair) < self._count - 1:
            raise DataError(
                f"{self._name} has {len(fair)} items that a user does not have; {self._count} candidates "
                f"need {self._count - 1}. Lower `candidates`."
            )
        # Waiting times with rate = popularity, the shortest first: a draw without replacement.
        waiting = -np.log1p(-dice.random(len(fair))) / np.maximum(self._popularity[fair], 1e-6)
        negatives = fair[np.argsort(waiting, kind="stable")[: self._count - 1]]
        candidates = dice.permutation([target, *negatives])
        answer = int(np.flatnonzero(candidates == target)[0])
        return Question(window.rows, tuple(int(row) for row in candidates), answer)
