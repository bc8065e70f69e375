"""Several continuations of one prompt in one row of tokens: the prompt is read once, with a gradient."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from llmrec_prompt.adapt.network import Network
from llmrec_prompt.adapt.tokens import log_probabilities
from llmrec_prompt.backends.hf.network import attention_masks

PROMPT, PADDING = -1, -2


def likelihoods(
    network: Network, prompts: Sequence[Sequence[int]], lines: Sequence[Sequence[Sequence[int]]]
) -> Any:
    """Log-probability in nats of each line after its prompt, (prompts, lines of a prompt).

    A row is the prompt and then its lines side by side, each at the positions it would have alone, seeing
    the prompt and itself. A line's last token is only predicted, so it is not in the row.

    Args:
        network: what is trained.
        prompts: token ids.
        lines: token ids of the lines after each prompt; as many after one as after another.
    """
    rows = [_row(prompt, after) for prompt, after in zip(prompts, lines, strict=True)]
    width = max(len(tokens) for tokens, _, _ in rows)
    tokens, owners, positions = (
        np.stack([np.pad(row[k], (0, width - len(row[k])), constant_values=fill) for row in rows])
        for k, fill in enumerate((0, PADDING, 0))
    )
    ids, places = (torch.as_tensor(values, device=network.device) for values in (tokens, positions))
    states = network.masked_states(ids, places, masks(network.model, owners, positions))
    found = [
        (b, place, b * len(after) + c, token)
        for b, (prompt, after) in enumerate(zip(prompts, lines, strict=True))
        for c, place, token in _predicted(len(prompt), after)
    ]
    row, place, sums, token = (list(column) for column in zip(*found, strict=True))
    values = log_probabilities(network, states[row, place], token)
    total = torch.zeros(len(rows) * len(lines[0]), device=values.device, dtype=values.dtype)
    return total.index_add(0, torch.tensor(sums, device=values.device), values).reshape(len(rows), -1)


def _row(prompt: Sequence[int], lines: Sequence[Sequence[int]]) -> tuple[list[int], list[int], list[int]]:
    """Tokens, whose they are, and their positions."""
    tokens, owners, positions = list(prompt), [PROMPT] * len(prompt), list(range(len(prompt)))
    for c, line in enumerate(lines):
        tokens += line[:-1]
        owners += [c] * (len(line) - 1)
        positions += range(len(prompt), len(prompt) + len(line) - 1)
    return tokens, owners, positions


def _predicted(length: int, lines: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """For each token of each line: the line, where in the row the token is predicted, the token."""
    found, begin = [], length
    for c, line in enumerate(lines):
        places = [length - 1, *range(begin, begin + len(line) - 1)]
        found += [(c, place, token) for place, token in zip(places, line, strict=True)]
        begin += len(line) - 1
    return found


def masks(model: Any, owners: Any, positions: Any) -> Any:
    """Who sees whom, in the form that a transformers model takes: all see the prompt, and their own past.

    Args:
        model: a causal language model with full or sliding attention.
        owners: whose each token is, (rows, longest): PROMPT, the number of a line, or PADDING.
        positions: of the tokens, (rows, longest).
    """
    distance = positions[:, :, None] - positions[:, None, :]
    own = owners[:, :, None] == owners[:, None, :]
    seen = (own | (owners == PROMPT)[:, None, :]) & (distance >= 0)
    return attention_masks(model, seen, distance)
