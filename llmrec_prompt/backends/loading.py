"""From a model reference to a loaded backend; engines are imported only when asked for."""

import logging
from collections.abc import Callable
from pathlib import Path

from llmrec_prompt.backends.base import Backend
from llmrec_prompt.backends.cores import usable_cores
from llmrec_prompt.backends.models import HOSTED, PACKAGED, ModelRef, gguf_path, parse_ref
from llmrec_prompt.backends.openai import Hosted, permitted
from llmrec_prompt.cache import cache_dir, file_hash, whole_file
from llmrec_prompt.errors import BackendError

log = logging.getLogger(__name__)


def load_backend(
    ref: str, *, context: int = 4096, threads: int | None = None, hosted: Hosted | None = None
) -> Backend:
    """Load a model.

    Args:
        ref: a model reference, see `llmrec models list`.
        context: most tokens of one prompt with its continuations.
        threads: CPU threads; all cores that the process may use when None.
        hosted: leave to send prompts to a server, for `openai:MODEL`; that of a `hosting` block if None.

    Raises:
        UnknownName: no such model.
        MissingExtra: the engine or the model's package is not installed.
        ConfigError: a path or number that cannot be meant, or a hosted model that nobody has allowed.
        BackendError: the engine cannot load the file, or the server cannot be used.
    """
    parsed = parse_ref(ref)
    if parsed.kind == HOSTED:
        return _load_openai(parsed, context, permitted(ref, hosted))
    if parsed.target in PACKAGED and PACKAGED[parsed.target].note:
        log.warning(PACKAGED[parsed.target].note)
    return LOADERS[parsed.kind](parsed, context, threads)


def _load_fake(ref: ModelRef, context: int, threads: int | None) -> Backend:
    from llmrec_prompt.backends.fake import FakeBackend

    return FakeBackend.from_name(ref.target, context=context)


def _load_llama(ref: ModelRef, context: int, threads: int | None) -> Backend:
    from llmrec_prompt.backends.llama_cpp import LlamaCppBackend

    path, digest = gguf_file(ref)
    return LlamaCppBackend(
        path,
        ref=ref.text,
        model_hash=digest,
        context=context,
        threads=threads,
        exact="scores" if ref.target in PACKAGED else "nothing",
    )


def _load_openai(ref: ModelRef, context: int, hosted: Hosted) -> Backend:
    from llmrec_prompt.backends.openai.backend import OpenAIBackend

    weights = _weights_hash(parse_ref(hosted.weights)) if hosted.weights else ""
    return OpenAIBackend(ref.text, ref.target, hosted, context=context, weights=weights)


def _weights_hash(ref: ModelRef) -> str:
    """What the local backend of a reference says of its weights; they are looked at, not loaded."""
    if ref.kind == "hf":
        from llmrec_prompt.backends.hf.loading import locate

        return locate(ref).digest
    return gguf_file(ref)[1]


def gguf_file(ref: ModelRef) -> tuple[Path, str]:
    """The GGUF file that llama.cpp loads for a reference, and the identity of its weights.

    Raises:
        ConfigError: there is no such file.
        MissingExtra: the model's package is not installed.
    """
    source = gguf_path(ref.target)
    digest = file_hash(source)
    path = half_precision_copy(source, digest) if ref.target in PACKAGED else source
    return path, digest if path == source else f"{digest}-f16"


def _load_hf(ref: ModelRef, context: int, threads: int | None) -> Backend:
    from llmrec_prompt.backends.hf import load_hf

    return load_hf(ref, context=context, threads=threads)


LOADERS: dict[str, Callable[[ModelRef, int, int | None], Backend]] = {
    "fake": _load_fake,
    "hf": _load_hf,
    "llama": _load_llama,
}


def half_precision_copy(source: Path, digest: str) -> Path:
    """An F16 copy of a small packaged model, made once in the cache.

    On CPUs without kernels for the shipped quantisation it is faster, and its scores depend
    far less on what else is in a batch, since activations are not rounded to eight bits
    (`eval/bench/precision.py` measures both). Where the cache cannot be written the file serves as it is.
    """
    from llmrec_prompt.backends.llama_cpp.engine import requantize

    target = cache_dir() / "models" / f"{source.stem}-{digest}-f16.gguf"
    if target.exists():
        return target
    try:
        with whole_file(target) as partial:
            requantize(source, partial, kind="f16", threads=usable_cores())
    except (BackendError, OSError) as error:  # llama.cpp says in its own way that a file cannot be written
        reason = str(error).rstrip(".")
        log.warning("Cannot keep a fast copy of %s: %s. It is used as shipped.", source.name, reason)
        return source
    return target
