"""An LSTM over the items of a history, with a user embedding and a scoring head."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from llmrec_prompt.data import Dataset
from llmrec_prompt.scorers.sequence_scorer import SequenceScorer
from llmrec_prompt.scorers.sequence_training import NextItemNetwork, Plan
from llmrec_prompt.scorers.sequences import Rows


@dataclass(frozen=True, slots=True)
class LstmShape:
    """Width of embeddings and head, width of the LSTM, and the share of units dropped in training."""

    dimensions: int = 64
    hidden: int = 64
    dropout: float = 0.5


class LstmScorer(SequenceScorer):
    """state = head([LSTM(items), user]), answered by item embeddings (LSTM: Hochreiter and Schmidhuber 1997).

    `user` is the user embedding: the mean, over the history, of a second table of item embeddings (as in
    NSVD, Paterek 2007, and FISM, Kabbur et al. 2013). It is a function of the history and of nothing else, so
    a user who was never trained on has one too; there is no embedding of a user's id. Trained like SASRec.
    """

    name = "lstm"

    def __init__(
        self, dataset: Dataset, *, shape: LstmShape | None = None, plan: Plan | None = None, seed: int = 0
    ) -> None:
        super().__init__(dataset, shape or LstmShape(), plan or Plan(), seed)

    @staticmethod
    def build(counts: Rows, shape: LstmShape, length: int) -> NextItemNetwork:
        """An LSTM has no positions, so `length` does not matter to it."""
        return _Lstm(counts, shape)


class _Lstm(NextItemNetwork):
    def __init__(self, counts: Rows, shape: LstmShape) -> None:
        super().__init__(counts, shape.dimensions)
        width = shape.dimensions
        self.liked_by = self.table(len(counts) + 1)
        self.lstm = nn.LSTM(width, shape.hidden, batch_first=True)
        self.dropout = nn.Dropout(shape.dropout)
        both, dropped = nn.Linear(shape.hidden + width, width), nn.Dropout(shape.dropout)
        self.head = nn.Sequential(both, nn.GELU(), dropped, nn.Linear(width, width))
        self.norm = nn.LayerNorm(width)

    def forward(self, inputs: Any) -> Any:
        recalled, _ = self.lstm(self.dropout(self.embed(self.items, inputs)))
        counts = torch.arange(1, inputs.shape[1] + 1, device=inputs.device)[:, None]
        user = self.embed(self.liked_by, inputs).cumsum(1) / counts
        return self.norm(self.head(self.dropout(torch.cat([recalled, user], -1))))
