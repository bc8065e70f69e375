"""Objective `encode`: after each item of a history, tell the next item's state from all others'.

A softmax over the catalogue, dense over positions as in SASRec (Kang and McAuley 2018), between the states
of a language model. Log-popularity is added to the logits while training (Menon et al. 2021; the in-batch
form is the sampled-softmax correction of Yi et al. 2019, left out), so the states learn
log p(item | history) - log p(item), and popularity can be put back at ranking time with the weight that the
task wants.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from llmrec_prompt.adapt.histories import Population, Texts, Window
from llmrec_prompt.adapt.network import Network
from llmrec_prompt.adapt.recipe import Stage
from llmrec_prompt.progress import track

START = 20.0
"""The temperature that training starts from."""
BATCH = 64


class Encode(nn.Module):  # type: ignore[misc]
    """The states of every item that somebody has, and the loss against them.

    Reading all item texts at every step would cost more than the histories. Each item's last state is kept
    instead; a step reads anew, with a gradient, at most `stage.items` of its targets, and what it reads
    replaces what was kept. Frequent items, which weigh most in the softmax, are read most often.
    """

    def __init__(self, network: Network, sources: Sequence[tuple[Population, Texts]], stage: Stage) -> None:
        super().__init__()
        self.__dict__["_network"] = network
        self._texts = [texts for _, texts in sources]
        self._stage = stage
        self.log_scale = nn.Parameter(torch.tensor(float(np.log(START))))
        width = network.model.config.hidden_size
        for i, (population, _) in enumerate(sources):
            counts = np.bincount(population.train.pairs()[1], minlength=len(population.dataset.items))
            log_p = np.log(np.maximum(counts, 1e-9) / max(counts.sum(), 1))
            self.register_buffer(f"states{i}", torch.zeros(len(counts), width))
            self.register_buffer(f"log_p{i}", torch.tensor(log_p, dtype=torch.float32), persistent=False)
            self.register_buffer(f"used{i}", torch.tensor(np.flatnonzero(counts)), persistent=False)

    @property
    def scale(self) -> float:
        """The learnt temperature."""
        return float(self.log_scale.detach().exp())

    def start_from(self, scale: float | None) -> None:
        """Go on with the temperature of an earlier training."""
        if scale is not None:
            self.log_scale.data.fill_(float(np.log(scale)))

    def fill(self) -> None:
        """Read every item that somebody has, before the first step."""
        for source in range(len(self._texts)):
            used = getattr(self, f"used{source}")
            rows = used.tolist()
            getattr(self, f"states{source}")[used] = self.read(source, rows, "Reading the items")

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def read(self, source: int, rows: Sequence[int], label: str = "") -> Any:
        """Normalised states of items of a source, as they are now: (rows, d)."""
        texts = [self._texts[source].item(row) for row in rows]
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        out = torch.zeros(len(texts), self.states0.shape[1], device=self._network.device)
        parts = [order[begin : begin + BATCH] for begin in range(0, len(order), BATCH)]
        for chosen in track(parts, label, len(parts)) if label else parts:
            out[chosen] = unit(self._network.ends([texts[i] for i in chosen]))
        return out

    def loss(self, states: Any, source: int, batch: Sequence[Window], step: int) -> Any:
        """Cross entropy of every next item of the batch, in nats a position."""
        device = states.device
        owner = torch.tensor([b for b, w in enumerate(batch) for _ in w.ends], device=device)
        ends = torch.tensor([e for w in batch for e in w.ends], device=device)
        targets = torch.tensor([t for w in batch for t in w.targets], device=device)
        users = unit(states[owner, ends])
        pool, items, bonus = self._items(source, targets, step)
        logits = self.log_scale.exp() * users @ items.T + bonus
        place = torch.full((len(self._texts[source].dataset.items),), -1, dtype=torch.long, device=device)
        place[pool] = torch.arange(len(pool), device=device)
        logits = logits.masked_fill(self._unfair(batch, owner, place, targets, logits), -1e9)
        return F.cross_entropy(logits, place[targets])

    def _items(self, source: int, targets: Any, step: int) -> tuple[Any, Any, Any]:
        """Rows in the softmax, their states (some with a gradient), and what is added to their logits."""
        kept, used, log_p = (getattr(self, f"{name}{source}") for name in ("states", "used", "log_p"))
        dice = torch.Generator().manual_seed(step)
        unique = targets.unique()
        some = unique[torch.randperm(len(unique), generator=dice)[: self._stage.items].to(unique.device)]
        fresh = unit(self._network.ends([self._texts[source].item(row) for row in some.tolist()]))
        kept[some] = fresh.detach()
        pool, bonus = used, log_p[used]
        if len(used) > self._stage.negatives:  # drawn by popularity, which then needs no adding
            drawn = torch.multinomial(log_p[used].exp().cpu(), self._stage.negatives, generator=dice)
            pool = torch.cat([unique, used[drawn.to(used.device)]]).unique()
            bonus = torch.zeros(len(pool), device=pool.device)
        pool = torch.cat([pool, unique]).unique() if self._missing(unique, pool) else pool
        bonus = bonus if len(bonus) == len(pool) else log_p[pool]
        items = kept[pool].clone()
        place = torch.searchsorted(pool, some)
        return pool, items.index_copy(0, place, fresh), bonus

    @staticmethod
    def _missing(unique: Any, pool: Any) -> bool:
        return not bool(torch.isin(unique, pool).all())

    def _unfair(self, batch: Sequence[Window], owner: Any, place: Any, targets: Any, logits: Any) -> Any:
        """What the user has besides the target says nothing as a negative."""
        mask = torch.zeros((len(batch), logits.shape[1]), dtype=torch.bool, device=logits.device)
        for b, window in enumerate(batch):
            where = place[torch.as_tensor(window.own, device=logits.device)]
            mask[b, where[where >= 0]] = True
        full = mask[owner]
        full[torch.arange(len(owner), device=owner.device), place[targets]] = False
        return full


def unit(states: Any) -> Any:
    """Rows of unit length, in single precision."""
    return F.normalize(states.float(), dim=-1)
