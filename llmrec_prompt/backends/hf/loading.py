"""From a model reference to a loaded `HfBackend`: folders, hub ids, GGUF files. Safetensors only, no code."""

import contextlib
import functools
import importlib.util
import json
import logging
import mmap
import os
import re
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llmrec_prompt.backends.hf.backend import HfBackend
from llmrec_prompt.backends.hf.vocabulary import BOS_UNLESS_SAID, as_llama_cpp
from llmrec_prompt.backends.models import PACKAGED, ModelRef, gguf_path
from llmrec_prompt.cache import cache_dir, content_key, file_hash, whole_folder
from llmrec_prompt.errors import BackendError, ConfigError, MissingExtra, UnknownName, first_line
from llmrec_prompt.hub import snapshot

try:
    import torch
    import transformers
    from safetensors import SafetensorError
except ImportError as error:
    raise MissingExtra("The hf backend", "hf") from error

log = logging.getLogger(__name__)
FILES = ("*.json", "model*.safetensors", "*.model", "*.txt", "*.jinja")
"""What is fetched of a model on the hub: weights, once and without pickles, and all that tokenizers read."""
SCORED = ("*.json", "*model*.safetensors", "*.model", "merges.txt", "vocab.txt")
"""What of a folder could change a score: weights, and what tokenizers read of texts."""
HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?(@[\w./-]+)?")
NO_CODE = {"trust_remote_code": False}
"""For every loading by transformers, which else asks at the terminal whether to run a model's own code."""
_ALONE = threading.Lock()
FORM = 1
"""Number of the conversion below; raised when its result changes, so that old copies are made again."""


@dataclass(frozen=True, slots=True)
class Located:
    """What transformers is to load: a folder, and the hash of what is in it."""

    name: str
    digest: str
    hub: str = ""
    """Its name on the hub, if it has one."""


def locate(ref: ModelRef) -> Located:
    """Find a folder, a hub id with an optional `@revision`, a GGUF file or a packaged model.

    A model of the hub is downloaded, and is then a folder like any other: the same files have the same hash
    wherever they came from, so that an adapter fits both.

    Raises:
        ConfigError: the target is none of these.
        BackendError: a GGUF file cannot be taken apart, or the hub does not give the model.
    """
    folder = Path(ref.target).expanduser()
    if ref.target in PACKAGED or folder.suffix == ".gguf":
        source = gguf_path(ref.target)
        digest = file_hash(source)
        hub = PACKAGED[ref.target].hub if ref.target in PACKAGED else ""
        return Located(str(_dequantised(source, digest)), digest, hub)
    if folder.is_dir():
        return Located(str(folder), _folder_hash(folder))
    if HUB_ID.fullmatch(ref.target):
        folder = snapshot(ref.target, "model", FILES, BackendError)
        return Located(str(folder), _folder_hash(folder), ref.target.partition("@")[0])
    raise ConfigError(
        f"{ref.target!r} is no folder, GGUF file or hub id. Write for example hf:org/model@revision."
    )


def load_hf(ref: ModelRef, *, context: int, threads: int | None) -> HfBackend:
    """Load a folder, a hub id with an optional `@revision`, a GGUF file or a packaged model.

    On a GPU in bfloat16, otherwise in single precision, or as `LLMREC_PRECISION` says. `threads` holds for
    all of torch.

    Raises:
        ConfigError: the target is none of these.
        BackendError: transformers cannot load it.
        MissingExtra: a package is missing.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    found = locate(ref)
    tokenizer, model = _load(found.name)
    digest = found.digest
    if model.dtype != torch.float32:  # other scores than the same weights give on a CPU
        digest += "-" + str(model.dtype).removeprefix("torch.")
    return HfBackend(tokenizer, model, ref=ref.text, model_hash=digest, context=context)


def _load(name: str) -> tuple[Any, Any]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = _precision(device)
    with one_line_errors(name), _no_progress_bars():
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, **NO_CODE)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            name, dtype=dtype, use_safetensors=True, **NO_CODE
        )
    return tokenizer, model.to(device).eval()


def _precision(device: str) -> Any:
    """`LLMREC_PRECISION`, bf16 or fp32; else bfloat16 on a GPU and single precision on a CPU."""
    names = {"bf16": torch.bfloat16, "fp32": torch.float32}
    wanted = os.environ.get("LLMREC_PRECISION") or ("bf16" if device == "cuda" else "fp32")
    if wanted not in names:
        raise UnknownName("LLMREC_PRECISION", wanted, names)
    return names[wanted]


@contextlib.contextmanager
def one_line_errors(name: str) -> Iterator[None]:
    """Around a loading by transformers; what it raises is an error of ours.

    Raises:
        ConfigError: the model is made of code of its own.
        BackendError: it cannot be loaded for another reason.
    """
    try:
        yield
    except (ImportError, KeyError, OSError, RuntimeError, ValueError) as error:
        reason = first_line(error)
        if "trust_remote_code" in str(error):
            raise ConfigError(
                f"{name!r} needs Python code of its own to load, which is not run here. "
                "Take a model of a kind that transformers knows."
            ) from error
        raise BackendError(
            f"transformers cannot load {name!r}: {reason}. Check the name, or give a folder with safetensors."
        ) from error


@contextlib.contextmanager
def _no_progress_bars() -> Iterator[None]:
    settings = transformers.utils.logging
    shown = settings.is_progress_bar_enabled()
    settings.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            settings.enable_progress_bar()


def _folder_hash(folder: Path) -> str:
    """16 hex digits over everything in a model folder that could change a score."""
    files = sorted({path for pattern in SCORED for path in folder.glob(pattern)})
    return content_key("\n".join(f"{path.name} {file_hash(path)}" for path in files))[:16]


def _dequantised(source: Path, digest: str) -> Path:
    """A GGUF model as a safetensors folder in single precision, made once in the cache.

    Taking a GGUF file apart takes tens of seconds, which the copy saves from the second load on.

    Raises:
        BackendError: the file cannot be read or the cache cannot be written.
    """
    target = cache_dir() / "models" / f"{source.stem}-{digest}-hf{FORM}"
    if target.exists():
        return target
    log.warning("Taking %s apart for transformers, once; this takes up to a minute.", source.name)
    with keeping_copy(source, target), whole_folder(target) as partial:
        _convert(source, partial)
    return target


@contextlib.contextmanager
def keeping_copy(source: Path, target: Path) -> Iterator[None]:
    """Around the writing of a copy; that another process was faster is no error.

    Raises:
        BackendError: it cannot be written; a full disk is no OSError where safetensors meets it.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        if not target.exists():
            raise BackendError(
                f"Cannot keep a copy of {source.name} in {target.parent}: {first_line(error)}. "
                "Set LLMREC_CACHE to a folder with room that may be written to."
            ) from error


def _convert(source: Path, folder: Path) -> None:
    pre = _pre_tokenizer(source)
    with one_line_errors(str(source)), _no_progress_bars(), _read_once():
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            str(source.parent),
            gguf_file=source.name,
            **NO_CODE,
            **{"add_bos_token": True} if pre in BOS_UNLESS_SAID else {},
        )
        model = transformers.AutoModelForCausalLM.from_pretrained(
            str(source.parent), gguf_file=source.name, dtype=torch.float32, **NO_CODE
        )
    if hasattr(model.config, "quantization_config"):  # transformers 5.0 sets none
        del model.config.quantization_config  # or the whole single-precision model counts as quantised
    model.hf_quantizer, model.is_quantized = None, False
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer.json"
    spec = as_llama_cpp(json.loads(path.read_text("utf-8")), pre)
    path.write_text(json.dumps(spec, ensure_ascii=False), "utf-8")


@contextlib.contextmanager
def _read_once() -> Iterator[None]:
    """Inside, a GGUF file is walked once, though transformers opens it three times.

    The fields of a large vocabulary take most of a conversion.
    """
    import gguf

    class Reader(gguf.GGUFReader):  # type: ignore[misc]
        data: Any

        def _get(self, *given: Any, **options: Any) -> Any:
            self.data = self.data.view(np.ndarray)  # slices of a memmap are many times dearer than an array's
            return super()._get(*given, **options)

    with _ALONE:
        plain, gguf.GGUFReader = gguf.GGUFReader, functools.lru_cache(maxsize=1)(Reader)
        try:
            yield
        finally:
            gguf.GGUFReader = plain


def _pre_tokenizer(source: Path) -> str:
    """The value of `tokenizer.ggml.pre`, found by its bytes: reading all fields properly takes seconds."""
    if importlib.util.find_spec("gguf") is None:
        raise MissingExtra("A GGUF file in the hf backend", "hf")
    with source.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise BackendError(f"{source} is no GGUF file.")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            name = b"tokenizer.ggml.pre"
            key = struct.pack("<Q", len(name)) + name + struct.pack("<I", 8)  # 8: the value is a string
            found = data.find(key)
            if found < 0:
                return ""
            start = found + len(key) + 8
            (length,) = struct.unpack("<Q", data[start - 8 : start])
            return data[start : start + length].decode("utf-8", "replace")
