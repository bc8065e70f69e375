"""Objective `rank`: a softmax over the candidates' calibrated likelihoods, the target against negatives.

score = log p(line | history) - log p(line | empty history), summed over the line's tokens. It serves the mode
`likelihood`, which ranks by such a difference. The prior comes from the network as it is, with its gradient:
were it held constant, a target's score could be raised by making its line likelier after any history, which
raises the prior at the next step and teaches nothing about the user. Negatives are drawn by popularity.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from llmrec_prompt.adapt.histories import Texts
from llmrec_prompt.adapt.network import Network
from llmrec_prompt.adapt.packed import likelihoods
from llmrec_prompt.adapt.questions import Question


class Rank(nn.Module):  # type: ignore[misc]
    """The loss on questions; `texts` are those of each source."""

    def __init__(self, network: Network, texts: Sequence[Texts]) -> None:
        super().__init__()
        self.__dict__["_network"] = network
        self._texts = list(texts)

    def loss(self, source: int, questions: Sequence[Question]) -> Any:
        """Cross entropy of the targets among their candidates, in nats a question."""
        texts = self._texts[source]
        lines = [[texts.line(row) for row in q.candidates] for q in questions]
        after = likelihoods(self._network, [texts.prompt(q.history) for q in questions], lines)
        prior = likelihoods(self._network, [texts.prompt(())] * len(questions), lines)
        answers = torch.tensor([q.answer for q in questions], device=after.device)
        return F.cross_entropy(after - prior, answers)
