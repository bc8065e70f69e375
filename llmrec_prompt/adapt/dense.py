"""Dense lessons: whole histories in one forward, and every objective that reads their states."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import nn

from llmrec_prompt.adapt.encode import Encode
from llmrec_prompt.adapt.histories import Population, Texts, Window, shuffled, windows
from llmrec_prompt.adapt.network import Network
from llmrec_prompt.adapt.recipe import Stage
from llmrec_prompt.errors import DataError

POOL = 8
"""So many batches are drawn at random and then sorted among themselves by length."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one step learns from: windows of one source."""

    step: int
    source: int
    windows: tuple[Window, ...]


class Objective(Protocol):
    """A loss on the states of a batch of windows."""

    def loss(self, states: Any, source: int, batch: Sequence[Window], step: int) -> Any:
        """A scalar."""
        ...


class Dense(nn.Module):  # type: ignore[misc]
    """Network and objectives; called with a lesson it gives the weighted loss."""

    _keys_to_ignore_on_save = None
    """Trainer asks every model for it."""

    def __init__(self, network: Network, objectives: dict[str, Any], weights: dict[str, float]) -> None:
        super().__init__()
        self.network = network
        self.objectives = nn.ModuleDict(objectives)
        self._weights = weights
        self.last: dict[str, float] = {}

    @property
    def encode(self) -> Encode | None:
        """The encoder's objective, if it is one of them."""
        found: dict[str, Any] = dict(self.objectives.items())
        return found.get("encode")

    def forward(self, lesson: Lesson) -> dict[str, Any]:
        """The loss, as Trainer wants it; each objective's own is kept in `last`."""
        states = self.network.states([window.tokens for window in lesson.windows])
        total: Any = 0.0
        for name, objective in self.objectives.items():
            loss = objective.loss(states, lesson.source, lesson.windows, lesson.step)
            self.last[name] = float(loss.detach())
            total = total + self._weights[name] * loss
        return {"loss": total}


class Lessons:
    """All lessons of a stage, in order and fixed by the seed, so that a resumed run sees the same ones.

    A step's source is drawn by weight; a source's windows come in a new order each time round.
    """

    def __init__(self, sources: Sequence[tuple[Population, Texts]], stage: Stage, *, seed: int) -> None:
        self._stage, self._seed = stage, seed
        self.windows = [windows(population, texts, stage.history) for population, texts in sources]
        if stage.shuffle_targets:
            self.windows = [shuffled(found, seed) for found in self.windows]
        empty = [p.dataset.name for (p, _), found in zip(sources, self.windows, strict=True) if not found]
        if empty:
            raise DataError(f"{empty[0]} has no history to train on. Raise `users` or leave it out.")
        weights = np.array([population.source.weight for population, _ in sources])
        dice = np.random.default_rng(seed)
        self._sources = dice.choice(len(sources), size=stage.steps, p=weights / weights.sum())
        self._turns = [self._order(i) for i in range(len(sources))]
        self._plan = [self._take(int(source)) for source in self._sources]

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
        source = int(self._sources[step])
        return Lesson(step, source, tuple(self.windows[source][i] for i in self._plan[step]))
