"""One adapter made of several. Searching for their weights needs torch and is imported by its own name."""

from llmrec_prompt.adapt.compose.card import Mixture
from llmrec_prompt.adapt.compose.mixture import Composed, compose, plain_weights

__all__ = ["Composed", "Mixture", "compose", "plain_weights"]
