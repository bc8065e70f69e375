"""SASRec: self-attention over the items of a history."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from llmrec_prompt.data import Dataset
from llmrec_prompt.scorers.sequence_scorer import SequenceScorer
from llmrec_prompt.scorers.sequence_training import NextItemNetwork, Plan
from llmrec_prompt.scorers.sequences import Rows


@dataclass(frozen=True, slots=True)
class SasrecShape:
    """Width of every layer, attention blocks, heads a block, and the share of units dropped in training."""

    dimensions: int = 64
    blocks: int = 2
    heads: int = 1
    dropout: float = 0.5


class SasrecScorer(SequenceScorer):
    """Self-attentive sequential recommendation (Kang and McAuley 2018) with softmax cross entropy.

    Item embeddings with learnt positions, causal self-attention blocks, answers by the same item embeddings,
    every position trained. Two things differ from the paper, both to its advantage: the loss runs over all
    items instead of one sampled negative (Klenitskiy and Vasilev 2023), and items have a bias that begins at
    their log popularity.
    """

    name = "sasrec"

    def __init__(
        self, dataset: Dataset, *, shape: SasrecShape | None = None, plan: Plan | None = None, seed: int = 0
    ) -> None:
        super().__init__(dataset, shape or SasrecShape(), plan or Plan(), seed)

    @staticmethod
    def build(counts: Rows, shape: SasrecShape, length: int) -> NextItemNetwork:
        """Positions count from the begin of the window."""
        return _Sasrec(counts, shape, length)


class _Sasrec(NextItemNetwork):
    def __init__(self, counts: Rows, shape: SasrecShape, length: int) -> None:
        super().__init__(counts, shape.dimensions)
        self.positions = self.table(length + 1)
        self.dropout = nn.Dropout(shape.dropout)
        self.blocks = nn.ModuleList(_Block(shape) for _ in range(shape.blocks))
        self.norm = nn.LayerNorm(shape.dimensions)

    def forward(self, inputs: Any) -> Any:
        # Padding stands on the right, where the causal mask hides it from all that count.
        places = torch.arange(inputs.shape[1], device=inputs.device)
        states = self.dropout(self.embed(self.items, inputs) + self.positions(places))
        for block in self.blocks:
            states = block(states)
        return self.norm(states)


class _Block(nn.Module):  # type: ignore[misc]
    """Attention and a feed-forward layer, each normalised before and added to its input."""

    def __init__(self, shape: SasrecShape) -> None:
        super().__init__()
        width, self.heads = shape.dimensions, shape.heads
        self.norm_attention, self.norm_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries_keys_values, self.attended = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, width), nn.Linear(width, width)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, states: Any) -> Any:
        states = states + self.dropout(self._attend(self.norm_attention(states)))
        hidden = self.dropout(functional.gelu(self.wide(self.norm_forward(states))))
        return states + self.dropout(self.narrow(hidden))

    def _attend(self, states: Any) -> Any:
        batch, positions, width = states.shape
        split = (batch, positions, 3, self.heads, width // self.heads)
        queries, keys, values = self.queries_keys_values(states).view(split).permute(2, 0, 3, 1, 4)
        rate = self.dropout.p if self.training else 0.0
        seen = functional.scaled_dot_product_attention(queries, keys, values, dropout_p=rate, is_causal=True)
        return self.attended(seen.transpose(1, 2).reshape(batch, positions, width))
