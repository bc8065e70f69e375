"""Questions about a ranker that accuracy does not answer: order, attributes, memory. Pure functions."""

from llmrec_prompt.evaluate.probes.fairness import (
    FairnessProbe,
    GroupGaps,
    domain_about,
    group_gaps,
    probe_fairness,
    ranker_about,
)
from llmrec_prompt.evaluate.probes.memory import MemoryProbe, probe_exchange, probe_titles
from llmrec_prompt.evaluate.probes.position import PositionProbe, kendall_tau, probe_position

__all__ = [
    "FairnessProbe",
    "GroupGaps",
    "MemoryProbe",
    "PositionProbe",
    "domain_about",
    "group_gaps",
    "kendall_tau",
    "probe_exchange",
    "probe_fairness",
    "probe_position",
    "probe_titles",
    "ranker_about",
]
