"""Recommendations from a language model: a history goes in, a ranking comes out."""

from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import LlmrecError
from llmrec_prompt.recommender import Recommender
from llmrec_prompt.types import Interaction, Item, Ranking

__version__ = "0.1.0"

__all__ = ["Dataset", "Interaction", "Item", "LlmrecError", "Ranking", "Recommender"]
