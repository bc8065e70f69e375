"""States in single precision throughout depend on nothing but their text."""

import numpy as np
import pytest

from llmrec_prompt.backends.llama_cpp import LlamaCppBackend

from .engines import single_precision_copy

TEXTS = [f"Film number {n}, a story of {word}" for n, word in enumerate(("war", "love", "ghosts", "trains"))]


def apart(backend) -> float:
    """One minus the least cosine between states made together and alone."""
    both = [np.float64(backend.embed(TEXTS)), np.float64([backend.embed([text])[0] for text in TEXTS])]
    together, alone = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in both)
    return float(1 - (together * alone).sum(1).min())


@pytest.mark.llama
@pytest.mark.parametrize(("exact", "most"), [("all", 1e-10), ("scores", 1e-5)])
def test_alone_or_with_others(own_cache, exact, most) -> None:
    path = single_precision_copy("smollm2")
    backend = LlamaCppBackend(path, ref="smollm2", model_hash="f32", context=512, threads=1, exact=exact)
    try:
        assert apart(backend) < most
    finally:
        backend.close()
