"""Ways to adapt against each other and against baselines, over how many users of the target they know."""

from llmrec_prompt.adapt.compare.run import compare
from llmrec_prompt.adapt.compare.suite import Suite

__all__ = ["Suite", "compare"]
