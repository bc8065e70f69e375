"""Weights that explain choices: a conditional logit (McFadden 1974), none of them negative (Breiman 1996)."""

from collections.abc import Iterable, Sequence

import numpy as np

from llmrec_prompt.rank.base import Array

Choice = tuple[Array, int]
"""What parts say of candidates, z-scores of shape (candidates, parts), and the place of the one chosen."""


def conditional_logit(choices: Sequence[Choice], start: Array, strength: float) -> Array:
    """Weights (parts,) that maximise log p(choices) - strength / 2 * |weights - start|^2, none below zero.

    p(choice) = softmax over the candidates of the weighted sum of what the parts say.

    Newton's steps, part after part: what is to be found is concave, so they end at the one maximum.

    >>> better = (np.array([[1.0, 0.0], [-1.0, 0.0]]), 0)
    >>> conditional_logit([better] * 50, np.array([0.5, 0.5]), 5.0).round(2).tolist()
    [1.48, 0.5]
    """
    weights = np.maximum(start, 0.0)
    for _ in range(200):
        before = weights.copy()
        for part in range(len(weights)):
            slope, bend = _slope(choices, weights, part)
            slope -= strength * (weights[part] - start[part])
            weights[part] = max(weights[part] + float(np.clip(slope / (bend + strength), -1, 1)), 0.0)
        if np.abs(weights - before).max() < 1e-9:
            break
    return weights


def _slope(choices: Iterable[Choice], weights: Array, part: int) -> tuple[float, float]:
    """First derivative of the log-likelihood by a part's weight, and the second with its sign turned."""
    slope = bend = 0.0
    for values, chosen in choices:
        total = values @ weights
        p = np.exp(total - total.max())
        p /= p.sum()
        mean = float(p @ values[:, part])
        slope += values[chosen, part] - mean
        bend += float(p @ values[:, part] ** 2) - mean**2
    return slope, bend
