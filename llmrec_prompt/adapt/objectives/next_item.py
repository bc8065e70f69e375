"""Objective `next_item`: the likelihood of every next title of a history, from one forward.

The cross entropy of a language model on the prompts that rank, without the tokens of the head and of the
first line, which no history explains. It serves the mode `likelihood`, and beside `encode` it costs only
the logits.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from llmrec_prompt.adapt.histories import Texts, Window
from llmrec_prompt.adapt.network import Network
from llmrec_prompt.adapt.tokens import log_probabilities


class NextItem(nn.Module):  # type: ignore[misc]
    """The loss. Windows must be `spelt_out`, so that the last target's line is there too."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.__dict__["_network"] = network

    def loss(self, states: Any, source: int, batch: Sequence[Window]) -> Any:
        """Mean over all tokens of all lines but the first, in nats a token."""
        owners, places, wanted = list[int](), list[int](), list[int]()
        for b, window in enumerate(batch):
            here = range(window.ends[0], len(window.tokens) - 1)
            owners += [b] * len(here)
            places += here
            wanted += window.tokens[window.ends[0] + 1 :]
        return -log_probabilities(self._network, states[owners, places], wanted).mean()


def spelt_out(window: Window, texts: Texts) -> Window:
    """The window with the line of its last target at the end; `ends` stay those of the items shown."""
    return replace(window, tokens=(*window.tokens, *texts.line(window.targets[-1])))
