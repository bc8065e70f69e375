"""Objective `adversarial`: domain-adversarial adaptation (Ganin et al. 2016).

A classifier tells from the user's state, after the last item shown, which source the user is from. Between
it and the network the gradient is reversed, so that the states lose what tells the sources apart while the
other objectives keep what recommends. Histories of the target need no labels for it.
"""

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from llmrec_prompt.adapt.dense import Lesson
from llmrec_prompt.adapt.encode import exact, unit

HIDDEN = 64


class _Reversal(torch.autograd.Function):  # type: ignore[misc]
    """The identity, with the gradient times -strength."""

    @staticmethod
    def forward(context: Any, values: Any, strength: float) -> Any:
        context.strength = strength
        return values.view_as(values)

    @staticmethod
    def backward(context: Any, gradient: Any) -> tuple[Any, None]:
        return -context.strength * gradient, None


def strength(progress: float) -> float:
    """Lambda of the paper, 2 / (1 + exp(-10 p)) - 1: from 0 to nearly 1, so that the classifier learns first.

    >>> strength(0.0), round(strength(0.5), 3), round(strength(1.0), 3)
    (0.0, 0.987, 1.0)
    """
    return 2 / (1 + math.exp(-10 * progress)) - 1


class Adversarial(nn.Module):  # type: ignore[misc]
    """The loss and its classifier, which is thrown away after training.

    Args:
        width: of a state.
        sources: how many there are to tell apart.
        steps: of the whole stage.
        device: where the classifier is.
    """

    def __init__(self, width: int, sources: int, steps: int, device: Any = None) -> None:
        super().__init__()
        self._steps = steps
        layers = nn.Linear(width, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, sources)
        self.classifier = nn.Sequential(*layers).to(device)

    def loss(self, states: Any, lesson: Lesson) -> Any:
        """Cross entropy of the classifier over all users of the step, in nats."""
        found = [(part.source, w.ends[-1]) for part in lesson.parts for w in part.windows]
        sources, ends = torch.tensor(found, device=states.device).T
        with exact(states):
            # Encoders are compared by direction, so direction is what must not tell.
            directions = unit(states[torch.arange(len(found), device=states.device), ends])
            users = directions * states.shape[-1] ** 0.5
            reversed_users = _Reversal.apply(users, strength(lesson.step / self._steps))
            return F.cross_entropy(self.classifier(reversed_users), sources)
