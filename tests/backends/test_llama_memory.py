"""What llama.cpp holds for us: after a failure, in a small context, when a backend is dropped."""

import gc
import weakref

import pytest

from llmrec_prompt.backends.base import ScoreRequest

from .conformance import PROMPT, TITLES
from .engines import load_single_precision

pytestmark = pytest.mark.llama
ASKED = [ScoreRequest(PROMPT, TITLES[:4])]


class Interrupted:
    """A context whose first evaluation after the prompt's (which is `read`) is interrupted, once."""

    def __init__(self, context):
        self._context, self.calls = context, 0

    def __getattr__(self, name):
        return getattr(self._context, name)

    def decode(self, tokens):
        self.calls += 1
        if self.calls == 1:
            raise KeyboardInterrupt
        self._context.decode(tokens)


def logprobs(backend):
    return [score.logprob for score in backend.score(ASKED)[0]]


def test_an_interrupted_chunk_leaves_nothing_behind(own_cache):
    backend = load_single_precision("smollm2")
    before = logprobs(backend)
    backend._forget()
    backend._context = Interrupted(backend._context)
    with pytest.raises(KeyboardInterrupt):
        logprobs(backend)
    assert logprobs(backend) == before
    assert logprobs(backend) == before
    backend.close()


def test_states_in_a_context_smaller_than_a_batch(own_cache):
    from llmrec_prompt.backends.llama_cpp import LlamaCppBackend

    from .engines import single_precision_copy

    path = single_precision_copy("smollm2")
    small = LlamaCppBackend(path, ref="smollm2", model_hash="f32", context=256, threads=1)
    texts = [f"Film number {n}, a story of ghosts and trains" for n in range(40)]
    assert small.embed(texts).shape == (40, small.info.dimensions)
    small.close()


def test_a_dropped_backend_frees_what_it_holds(own_cache):
    backend = load_single_precision("smollm2")
    logprobs(backend)
    freed, alive = backend._free, weakref.ref(backend)
    del backend
    gc.collect()
    assert alive() is None
    assert not freed.alive


def test_the_packaged_file_as_it_is_shipped(own_cache):
    """Quantised: on some processors llama.cpp packs such weights anew, and that crashed."""
    from llmrec_prompt.backends.llama_cpp import LlamaCppBackend
    from llmrec_prompt.backends.models import gguf_path

    shipped = LlamaCppBackend(gguf_path("smollm2"), ref="x", model_hash="y", context=512, threads=1)
    assert all(score.logprob < 0 for score in shipped.score(ASKED)[0])
    shipped.close()
