"""Language models behind one protocol. `load_backend("smollm2")` is the door."""

from llmrec_prompt.backends.base import (
    Backend,
    Capability,
    Choice,
    ModelInfo,
    Score,
    ScoreRequest,
    Usage,
    require,
    shortfall,
)
from llmrec_prompt.backends.loading import load_backend
from llmrec_prompt.backends.models import DEFAULT_MODEL, adapter_identity, parse_ref
from llmrec_prompt.backends.openai import Hosted, hosting, permitted
from llmrec_prompt.backends.pinned import PinnedBackend, turns_of

__all__ = [
    "DEFAULT_MODEL",
    "Backend",
    "Capability",
    "Choice",
    "Hosted",
    "ModelInfo",
    "PinnedBackend",
    "Score",
    "ScoreRequest",
    "Usage",
    "adapter_identity",
    "hosting",
    "load_backend",
    "parse_ref",
    "permitted",
    "require",
    "shortfall",
    "turns_of",
]
