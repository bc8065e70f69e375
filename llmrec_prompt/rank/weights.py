"""What `fused` adds up by default, and how much each part weighs there."""

from collections.abc import Mapping

from llmrec_prompt.adapters import Card
from llmrec_prompt.rank.learnt import learnt_in

WEIGHTS: Mapping[str, float] = {"likelihood": 1.0, "embedding": 1.0, "popularity": 0.25, "co-occurrence": 1.0}
WITHOUT_LOGS: Mapping[str, float] = {"likelihood": 1.0, "embedding": 1.0, "bm25": 0.5, "encoder": 0.5}
"""Where there are logs, and where there are none, from `eval/tune.py`."""
TRAINED: Mapping[str, float] = {"encoder": 1.0, "embedding": 0.25, "co-occurrence": 0.25}
"""Where there are logs and the encoder learnt in the domain: it comes with a popularity of its own."""


def is_trained(card: Card | None) -> bool:
    """Whether an adapter was trained as an encoder, wherever that was."""
    return card is not None and card.mode == "encoder"


def default_weights(card: Card | None, domain: str, *, logs: bool) -> dict[str, float]:
    """Parts and weights under an adapter; one that was trained as an encoder takes the likelihood's place."""
    weights = WEIGHTS if logs else WITHOUT_LOGS
    if not is_trained(card):
        return dict(weights)
    if logs and learnt_in(card, domain):
        return dict(TRAINED)
    others = {part: weight for part, weight in weights.items() if part not in ("likelihood", "encoder")}
    return {"encoder": weights["likelihood"], **others}
