"""Ranking modes: from a history and candidates to a full scored order."""

from llmrec_prompt.rank.base import Ranker, Request, combine, rank
from llmrec_prompt.rank.building import MODES, WEIGHTS, Rankers
from llmrec_prompt.rank.encoder import TASKS, EncoderRanker
from llmrec_prompt.rank.explain import Reason, in_words, leave_one_out
from llmrec_prompt.rank.fused import FusedRanker
from llmrec_prompt.rank.likelihood import LikelihoodRanker
from llmrec_prompt.rank.priors import SOURCES, calibration_histories
from llmrec_prompt.rank.scorer import ScorerRanker
from llmrec_prompt.rank.swapping import Swap

__all__ = [
    "MODES",
    "SOURCES",
    "TASKS",
    "WEIGHTS",
    "EncoderRanker",
    "FusedRanker",
    "LikelihoodRanker",
    "Ranker",
    "Rankers",
    "Reason",
    "Request",
    "ScorerRanker",
    "Swap",
    "calibration_histories",
    "combine",
    "in_words",
    "leave_one_out",
    "rank",
]
