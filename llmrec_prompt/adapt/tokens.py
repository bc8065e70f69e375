"""Log-probabilities of tokens with a gradient, never holding many logits at once."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from llmrec_prompt.adapt.network import Network

LOGIT_BYTES = 32 << 20
"""Of one block of logits; with its gradient and what is between them three or four times as much is held."""


def log_probabilities(network: Network, states: Any, tokens: Sequence[int]) -> Any:
    """For each state (n, d), the log-probability in nats that its token comes next: (n,).

    The logits of a block are thrown away after use and computed again for the gradient.
    """
    wanted = torch.tensor(tokens, device=states.device)
    rows = max(1, LOGIT_BYTES // (4 * network.model.config.vocab_size))
    blocks = zip(states.split(rows), wanted.split(rows), strict=True)
    parts = [
        checkpoint(_picked, network.logits, *block, use_reentrant=False, preserve_rng_state=False)
        for block in blocks
    ]
    return torch.cat(parts)


def _picked(logits_of: Callable[[Any], Any], states: Any, wanted: Any) -> Any:
    logits = logits_of(states)
    return logits.gather(1, wanted[:, None])[:, 0] - logits.logsumexp(1)
