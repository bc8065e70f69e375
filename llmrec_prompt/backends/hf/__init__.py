"""The transformers backend: safetensors models, GGUF models taken apart, PEFT adapters."""

from llmrec_prompt.backends.hf.backend import HfBackend
from llmrec_prompt.backends.hf.loading import load_hf

__all__ = ["HfBackend", "load_hf"]
