"""Objective `encode`: after each item of a history, tell the next item's state from those of other items.

A softmax over all items of the batch's windows, dense over positions as in SASRec (Kang and McAuley 2018),
between the states of a language model. The items of a batch come as often as they are popular, so the states
learn log p(item | history) - log p(item): that is the sampled-softmax correction of Yi et al. (2019) left out
on purpose. Popularity is put back at ranking time, with the weight that the task wants.

Beside the history's state, each history item's own state is compared with the next item's (see
`rank.nearness`). That comparison needs no knowledge of the domain, only item states that lie near when the
items go together, so it is what carries over to domains that nobody was trained on.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional as F

from llmrec_prompt.adapt.histories import Population, Texts, Window
from llmrec_prompt.adapt.network import Network
from llmrec_prompt.progress import track

START = 20.0
"""The temperature that training starts from."""
BATCH = 64


class Encode(nn.Module):  # type: ignore[misc]
    """The loss, and the temperatures that are learnt with it.

    All item states of a step are read with the weights of that step. Kept ones would be cheaper, but then the
    targets, read anew, differ from the stale rest by how far training has gone, and that is what is learnt.
    """

    def __init__(self, network: Network, sources: Sequence[tuple[Population, Texts]]) -> None:
        super().__init__()
        self.__dict__["_network"] = network
        self._texts = [texts for _, texts in sources]
        self.log_scale = nn.Parameter(torch.tensor(float(np.log(START)), device=network.device))
        self.log_near = nn.Parameter(torch.tensor(float(np.log(START)), device=network.device))
        self.log_focus = nn.Parameter(torch.tensor(float(np.log(START)), device=network.device))

    @property
    def scale(self) -> float:
        """The learnt temperature of the history's state."""
        return float(self.log_scale.detach().exp())

    @property
    def near(self) -> float:
        """The learnt weight of the history items' states."""
        return float(self.log_near.detach().exp())

    @property
    def focus(self) -> float:
        """The learnt temperature among the history items: how much the nearest of them decides."""
        return float(self.log_focus.detach().exp())

    def start_from(self, scale: float | None, near: float | None = None, focus: float | None = None) -> None:
        """Go on with what an earlier training learnt; `focus` was `near` before there were two."""
        found = ((self.log_scale, scale), (self.log_near, near), (self.log_focus, focus or near))
        for parameter, value in found:
            if value is not None:
                parameter.data.fill_(float(np.log(value)))

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def read(self, source: int, rows: Sequence[int], label: str = "") -> Any:
        """Normalised states of items of a source, as they are now: (rows, d)."""
        texts = [self._texts[source].item(row) for row in rows]
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        parts = [order[begin : begin + BATCH] for begin in range(0, len(order), BATCH)]
        states = [
            unit(self._network.ends([texts[i] for i in chosen]))
            for chosen in (track(parts, label, len(parts)) if label else parts)
        ]
        return torch.cat(states)[np.argsort(order)]

    def loss(self, states: Any, source: int, batch: Sequence[Window]) -> Any:
        """Cross entropy of the next items among all items of the batch's windows, in nats a position.

        Items from before the windows are no candidates. Nothing is learnt through their states, and states
        pushed away from ones that stand still drift all the same way: that diverges.
        """
        every, at, count = self._items(source, batch)
        with exact(states):
            return self._told_apart(states, batch, every, at, count)

    def _told_apart(
        self, states: Any, batch: Sequence[Window], every: Any, at: dict[int, int], count: int
    ) -> Any:
        pool = every[:count]
        found = [
            (b, k, end, at[target])
            for b, window in enumerate(batch)
            for k, (end, target) in enumerate(zip(window.ends, window.targets, strict=True))
        ]
        owner, turn, ends, targets = torch.tensor(found, device=states.device).T
        logits = self.log_scale.exp() * unit(states[owner, ends]) @ pool.T
        near = self.nearness(every @ pool.T, at, batch)
        logits = logits + torch.cat([near[b][turn[owner == b]] for b in range(len(batch))])
        unfair = torch.from_numpy(_owned(batch, np.array(list(at)[:count]))).to(states.device)[owner]
        unfair[torch.arange(len(found), device=states.device), targets] = False
        return F.cross_entropy(logits.masked_fill(unfair, -1e9), targets)

    def _items(self, source: int, batch: Sequence[Window]) -> tuple[Any, dict[int, int], int]:
        """States of all items that a batch speaks of, (items, d), where each is, how many are learnt from.

        What came before the windows is read with the same weights, but nothing is learnt through it: it is
        as many items again as all the rest, and would cost three times as much with its gradients.
        """
        learnt = sorted({row for window in batch for row in (*window.rows, *window.targets)})
        earlier = sorted({row for window in batch for row in window.before} - set(learnt))
        states = unit(self._network.ends([self._texts[source].item(row) for row in learnt]))
        if earlier:
            states = torch.cat([states, self.read(source, earlier)])
        return states, {row: i for i, row in enumerate([*learnt, *earlier])}, len(learnt)

    def nearness(self, cosines: Any, at: Mapping[int, int], batch: Sequence[Window]) -> list[Any]:
        """What the history items of each window say about the items of a pool, position by position.

        Args:
            cosines: of items to those of the pool (items, pool).
            at: which row of `cosines` is which item's; every window's history items are among them.
            batch: the windows.

        Returns:
            For each window (its positions, pool).
        """
        known = [cosines[[at[row] for row in (*window.before, *window.rows)]] for window in batch]
        found = [self.log_near.exp() * nearness_so_far(own, self.log_focus.exp()) for own in known]
        return [near[len(window.before) :] for near, window in zip(found, batch, strict=True)]


def nearness_so_far(cosines: Any, focus: Any) -> Any:
    """`rank.nearness` after each history item in turn.

    Args:
        cosines: of history items, in order, to others (shown, items).
        focus: the temperature.

    Returns:
        (shown, items); row k knows items 0 to k.
    """
    counts = torch.arange(1, len(cosines) + 1, device=cosines.device)
    return (torch.logcumsumexp(focus * cosines, 0) - counts.log()[:, None]) / focus


def _owned(batch: Sequence[Window], pool: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """(windows, pool): what a user has besides the target says nothing as a negative."""
    return np.stack([np.isin(pool, window.own) for window in batch])


def unit(states: Any) -> Any:
    """Rows of unit length, in single precision."""
    return F.normalize(states.float(), dim=-1)


def exact(states: Any) -> Any:
    """Where matrices are multiplied in the precision of their numbers, also inside an autocast.

    Item states lie so near each other (cosines of .97 +- .013) that the steps of bfloat16 there, .004,
    are a third of what tells items apart: gradients of them would be noise.
    """
    return torch.autocast(states.device.type, enabled=False)
