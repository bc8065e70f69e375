"""Dense lessons: whole histories in one forward, and every objective that reads their states."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from llmrec_prompt.adapt.histories import Window
from llmrec_prompt.adapt.network import Network
from llmrec_prompt.adapt.recipe import UNLABELLED, Source, Stage
from llmrec_prompt.errors import DataError

POOL = 8
"""So many batches are drawn at random and then sorted among themselves by length."""
COMPANY = 1
"""Tells the draw of a step's second source from other draws under the same seed."""


@dataclass(frozen=True, slots=True)
class Part:
    """Windows of one source."""

    source: int
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one step learns from: a batch of one source, or one each of two where they are compared."""

    step: int
    parts: tuple[Part, ...]


class Dense(nn.Module):  # type: ignore[misc]
    """Network and objectives; called with a lesson it gives the weighted loss."""

    _keys_to_ignore_on_save = None
    """Trainer asks every model for it."""

    def __init__(
        self,
        network: Network,
        objectives: dict[str, Any],
        weights: dict[str, float],
        labelled: Sequence[bool] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.objectives = nn.ModuleDict(objectives)
        self._weights, self._labelled = weights, labelled
        self.last: dict[str, float] = {}

    def forward(self, lesson: Lesson) -> dict[str, Any]:
        """The loss, as Trainer wants it; each objective's own is kept in `last`."""
        states = self.network.states([w.tokens for part in lesson.parts for w in part.windows])
        total: Any = 0.0
        for name, objective in self.objectives.items():
            losses = list(self._losses(name, objective, states, lesson))
            if losses:
                loss = sum(losses) / len(losses)
                self.last[name] = float(loss.detach())
                total = total + self._weights[name] * loss
        return {"loss": total}

    def _losses(self, name: str, objective: Any, states: Any, lesson: Lesson) -> Iterator[Any]:
        """One for each part that the objective may read; `adversarial` alone reads the whole lesson."""
        if name == "adversarial":
            yield objective.loss(states, lesson)
            return
        begin = 0
        for part in lesson.parts:
            end = begin + len(part.windows)
            if name in UNLABELLED or self._labelled is None or self._labelled[part.source]:
                yield objective.loss(states[begin:end], part.source, part.windows)
            begin = end


class Lessons:
    """All lessons of a stage, in order and fixed by the seed, so that a resumed run sees the same ones.

    A step's source is drawn by weight; a source's windows come in a new order each time round. Unlabelled
    sources come as a second batch beside a labelled one, and so does another source for `adversarial`.

    Args:
        found: the windows of each source.
        sources: their weights, and whether they are labelled.
        stage: how many steps, how big a batch.
        seed: of all draws.

    Raises:
        DataError: a source has no windows.
    """

    def __init__(
        self, found: Sequence[list[Window]], sources: Sequence[Source], stage: Stage, *, seed: int
    ) -> None:
        self._stage, self._seed, self.windows = stage, seed, list(found)
        empty = [source.data for source, own in zip(sources, found, strict=True) if not own]
        if empty:
            raise DataError(f"{empty[0]} has no history to train on. Raise `users` or leave it out.")
        self._labelled = np.array([source.labelled for source in sources])
        self._weights = np.array([source.weight for source in sources])
        first = self._weights * self._labelled if self._labelled.any() else self._weights
        dice = np.random.default_rng(seed)
        mains = dice.choice(len(sources), size=stage.steps, p=first / first.sum())
        self._turns = [self._order(i) for i in range(len(sources))]
        self._plan = [
            [(source, self._take(source)) for source in drawn] for drawn in self._with_company(mains)
        ]

    def _with_company(self, mains: Any) -> Iterator[list[int]]:
        """Each step's source and, where there is one, the source beside it."""
        mixed = self._labelled.any() and not self._labelled.all()
        dice = np.random.default_rng([self._seed, COMPANY])
        for main in map(int, mains):
            if not mixed and "adversarial" not in self._stage.objectives:
                yield [main]
                continue
            allowed = ~self._labelled if mixed else np.arange(len(self._weights)) != main
            chances = self._weights * allowed
            yield [main, int(dice.choice(len(chances), p=chances / chances.sum()))]

    def _order(self, source: int) -> Iterator[int]:
        turn = 0
        while True:
            dice = np.random.default_rng([self._seed, source, turn])
            yield from self._alike(source, dice)
            turn += 1

    def _alike(self, source: int, dice: np.random.Generator) -> Iterator[int]:
        """All windows once, in batches of about the same length, so that little is padding."""
        found, batch = self.windows[source], self._stage.batch
        order = dice.permutation(len(found))
        for pool in np.array_split(order, max(1, len(order) // (batch * POOL))):
            by_length = sorted(pool.tolist(), key=lambda i: len(found[i].tokens))
            batches = [by_length[begin : begin + batch] for begin in range(0, len(by_length), batch)]
            for i in dice.permutation(len(batches)):
                yield from batches[i]

    def _take(self, source: int) -> list[int]:
        count = min(self._stage.batch, len(self.windows[source]))
        return [next(self._turns[source]) for _ in range(count)]

    def __len__(self) -> int:
        return self._stage.steps

    def __getitem__(self, step: int) -> Lesson:
        parts = [
            Part(source, tuple(self.windows[source][i] for i in chosen))
            for source, chosen in self._plan[step]
        ]
        return Lesson(step, tuple(parts))
