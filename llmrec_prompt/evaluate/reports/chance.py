"""What guessing scores over the questions of an exam, where several items may be right."""

from functools import cache
from math import comb, log2

import numpy as np

from llmrec_prompt.errors import ConfigError
from llmrec_prompt.evaluate.metrics import parse_name
from llmrec_prompt.evaluate.reports.rows import Asked, Floats


def guesses(asked: Asked, metric: str) -> Floats:
    """The expected value of a metric for each user, shape (users,)."""
    pairs = zip(asked.candidates, asked.relevant, strict=True)
    return np.array([guess(n, relevant, metric) for n, relevant in pairs])


@cache
def guess(n: int, relevant: int, metric: str) -> float:
    """The mean of a metric over all orders of n candidates, `relevant` of them right.

    The first right one is at rank r with chance C(n - r, relevant - 1) / C(n, relevant); every rank holds a
    right one with chance relevant / n.
    Source: the definitions in `llmrec_prompt.evaluate.metrics`, averaged over the orders.

    Raises:
        UnknownName: no such metric.
        ConfigError: it is none of hr@K, ndcg@K, mrr, or its K is below 1.

    Example:
        >>> guess(20, 1, "hr@10"), guess(4, 2, "hr@1"), round(guess(3, 2, "mrr"), 3)
        (0.5, 0.5, 0.833)
    """
    stem, k = parse_name(metric)
    if stem not in ("hr", "ndcg", "mrr"):
        raise ConfigError(f"Chance of {metric!r} is not known, only that of hr@K, ndcg@K and mrr.")
    depth, ways = min(k or n, n), comb(n, relevant)
    if stem == "hr":
        return (ways - comb(n - depth, relevant)) / ways
    if stem == "mrr":
        return sum(comb(n - r, relevant - 1) / ways / r for r in range(1, depth + 1))
    gains = [1 / log2(r + 1) for r in range(1, depth + 1)]
    return relevant / n * sum(gains) / sum(gains[:relevant])
