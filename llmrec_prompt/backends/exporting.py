"""An adapter made ready for other engines: its GGUF twin, checked, and what to type to serve it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llmrec_prompt.adapters import Adapter
from llmrec_prompt.adapters.serving import llama_server_command, vllm_command
from llmrec_prompt.backends.base import Backend
from llmrec_prompt.backends.loading import gguf_file, load_backend
from llmrec_prompt.backends.models import PACKAGED, ModelRef, parse_ref
from llmrec_prompt.backends.parity import Parity, compare
from llmrec_prompt.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from llmrec_prompt.backends.llama_cpp import LlamaCppBackend


def export_twin(adapter: Adapter, model: str, out: Path, *, check: bool = True) -> Parity | None:
    """Write an adapter's GGUF twin; with `check`, keep it only if llama.cpp and peft agree on it.

    Args:
        adapter: the adapter.
        model: reference of its base, a GGUF file or a packaged model.
        out: the file to write.
        check: compare the engines, which loads the base in both.

    Raises:
        ConfigError: the base is no GGUF file, or `out` cannot be written.
        AdapterError: it is another base, the adapter cannot be written, or the engines differ.
        MissingExtra: [local] is not installed, or, for the check, [hf].
    """
    ref = _gguf_ref(model)
    llama = _load(ref)
    try:
        adapter.card.check_base(llama.info.hash)
        try:
            llama.write_twin(adapter.folder, out)
        except OSError as error:
            raise ConfigError(f"Cannot write {out}: {error.strerror or error}.") from error
        return _checked(llama, ref, adapter, out) if check else None
    finally:
        llama.close()


def _checked(llama: LlamaCppBackend, ref: ModelRef, adapter: Adapter, out: Path) -> Parity:
    try:
        hf = _peft(ref)
        try:
            parity = compare(llama, hf, str(out), str(adapter.folder))
        finally:
            hf.close()
        parity.require()
    except BaseException:  # a twin that was not found good shall not lie about
        out.unlink(missing_ok=True)
        raise
    return parity


def _peft(ref: ModelRef) -> Backend:
    try:
        return load_backend(f"hf:{ref.target}")
    except MissingExtra as error:
        what = "Comparing the twin with peft, which --no-check (check=False) leaves out,"
        raise MissingExtra(what, error.extra) from error


def vllm_line(adapter: Adapter, model: str) -> str:
    """What to type to serve base and adapter by vLLM.

    A GGUF base is named by the folder the hf backend makes of it, which holds the very weights that the
    adapter was trained on.

    Raises:
        MissingExtra: the base is a GGUF file and [hf] is not installed.
    """
    ref = parse_ref(model)
    base = ref.target
    if ref.target in PACKAGED or ref.target.endswith(".gguf"):
        from llmrec_prompt.backends.hf.loading import locate

        base = locate(ref).name
    return vllm_command(adapter.card, adapter.folder.resolve(), base)


def llama_server_line(adapter: Adapter, model: str, twin: Path | None = None) -> str:
    """What to type to serve base and adapter by llama.cpp's server.

    Args:
        adapter: the adapter.
        model: reference of its base, a GGUF file or a packaged model.
        twin: the adapter's GGUF twin; the one in the cache, made if need be, if None.

    Raises:
        ConfigError: the base is no GGUF file.
        AdapterError: the adapter has another base, or cannot be written.
        MissingExtra: [local] is not installed.
    """
    ref = _gguf_ref(model)
    if twin is None:
        llama = _load(ref)
        adapter.card.check_base(llama.info.hash)
        twin = llama.write_twin(adapter.folder)
        llama.close()
    return llama_server_command(adapter.card, gguf_file(ref)[0], twin.resolve())


def _load(ref: ModelRef) -> LlamaCppBackend:
    backend: LlamaCppBackend = load_backend(ref.text)  # type: ignore[assignment]
    return backend


def _gguf_ref(model: str) -> ModelRef:
    ref = parse_ref(model)
    if ref.target not in PACKAGED and not ref.target.endswith(".gguf"):
        raise ConfigError(
            f"{model!r} is no GGUF file, which llama.cpp needs. Give its conversion: --model llama:FILE.gguf."
        )
    return parse_ref(ref.target if ref.target in PACKAGED else f"llama:{ref.target}")
