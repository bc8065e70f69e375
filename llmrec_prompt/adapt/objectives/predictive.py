"""Objective `predictive`: contrastive predictive coding (van den Oord et al. 2018) on unlabelled histories.

From the user's state after item k, the user's own states after the items k+1..k+HORIZON are to be told from
those of the other users of the batch (InfoNCE). No item is a label: the positives are the user's own future.
The states see the whole history before them, so part of what is learnt is who the user is.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from llmrec_prompt.adapt.encode import START, exact, unit
from llmrec_prompt.adapt.histories import Window

HORIZON = 3


class Predictive(nn.Module):  # type: ignore[misc]
    """The loss, with a matrix for each step ahead and a temperature; all are thrown away after training."""

    def __init__(self, width: int, device: Any = None) -> None:
        super().__init__()
        self.ahead = nn.Parameter(torch.eye(width, device=device).repeat(HORIZON, 1, 1))
        self.log_scale = nn.Parameter(torch.tensor(float(np.log(START)), device=device))

    def loss(self, states: Any, source: int, batch: Sequence[Window]) -> Any:
        """Mean InfoNCE over the steps ahead, in nats; 0 where no history has two items."""
        with exact(states):
            return self._loss(states, batch)

    def _loss(self, states: Any, batch: Sequence[Window]) -> Any:
        found = [(b, end) for b, window in enumerate(batch) for end in window.ends]
        owner, ends = torch.tensor(found, device=states.device).T
        points = unit(states[owner, ends])
        same = _same_user(batch).to(states.device)[owner][:, owner]
        losses = []
        for distance in range(1, HORIZON + 1):
            now = torch.nonzero(owner[:-distance] == owner[distance:])[:, 0]
            if len(now):
                losses.append(self._told_apart(points, same, now, distance))
        return torch.stack(losses).mean() if losses else points.sum() * 0.0

    def _told_apart(self, points: Any, same: Any, now: Any, distance: int) -> Any:
        """From `now` to `now + distance`: the user's other states are no negatives."""
        guesses = unit(points[now] @ self.ahead[distance - 1])
        unfair = same[now]
        unfair[torch.arange(len(now), device=now.device), now + distance] = False
        logits = self.log_scale.exp() * guesses @ points.T
        return F.cross_entropy(logits.masked_fill(unfair, -1e9), now + distance)


def _same_user(batch: Sequence[Window]) -> Any:
    """(windows, windows): windows cut from one user's history share their `own`."""
    owners = torch.tensor([[id(window.own)] for window in batch])
    return owners == owners.T
