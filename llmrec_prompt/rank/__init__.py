"""Ranking modes: from a history and candidates to a full scored order."""

from llmrec_prompt.rank.asking import UNUSABLE
from llmrec_prompt.rank.base import Ranker, Request, combine
from llmrec_prompt.rank.building import Rankers
from llmrec_prompt.rank.encoder import TASKS, EncoderRanker
from llmrec_prompt.rank.explain import Reason, in_words, leave_one_out
from llmrec_prompt.rank.fused import FusedRanker
from llmrec_prompt.rank.label import LabelRanker
from llmrec_prompt.rank.likelihood import LikelihoodRanker
from llmrec_prompt.rank.listed import ListedRanker
from llmrec_prompt.rank.many import in_order, rank_many
from llmrec_prompt.rank.modes import MODES, check_mode, needs_history, parts_of
from llmrec_prompt.rank.order import Order, put_in_order, rank
from llmrec_prompt.rank.priors import SOURCES, calibration_histories
from llmrec_prompt.rank.retrieved import RetrievedRanker
from llmrec_prompt.rank.scorer import ScorerRanker
from llmrec_prompt.rank.stacking import learnt_weights
from llmrec_prompt.rank.swapping import Swap
from llmrec_prompt.rank.weights import TRAINED, WEIGHTS, WITHOUT_LOGS
from llmrec_prompt.rank.yes_no import YesNoRanker

__all__ = [
    "MODES",
    "SOURCES",
    "TASKS",
    "TRAINED",
    "UNUSABLE",
    "WEIGHTS",
    "WITHOUT_LOGS",
    "EncoderRanker",
    "FusedRanker",
    "LabelRanker",
    "LikelihoodRanker",
    "ListedRanker",
    "Order",
    "Ranker",
    "Rankers",
    "Reason",
    "Request",
    "RetrievedRanker",
    "ScorerRanker",
    "Swap",
    "YesNoRanker",
    "calibration_histories",
    "check_mode",
    "combine",
    "in_order",
    "in_words",
    "learnt_weights",
    "leave_one_out",
    "needs_history",
    "parts_of",
    "put_in_order",
    "rank",
    "rank_many",
]
