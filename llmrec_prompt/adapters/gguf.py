"""The GGUF twin of a PEFT adapter: the same LoRA in the form llama.cpp loads.

A and B go over as they are, in single precision, except that the rows of B for q and k are permuted where
the base's rows are: llama.cpp rotates neighbouring rows together for some architectures, transformers
halves of a head.
"""

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llmrec_prompt.adapters.card import CONFIG, WEIGHTS
from llmrec_prompt.adapters.config import alpha_of, config_faults, read_config
from llmrec_prompt.adapters.embedded import texts_of
from llmrec_prompt.adapters.weights import Matrix, Pair, read_pairs
from llmrec_prompt.cache import cache_dir, content_key, file_hash, whole_file
from llmrec_prompt.errors import AdapterError, MissingExtra

FORM = 1
"""Number of the mapping below; raised when its result changes, so that old twins are made again."""
PERMUTED = {
    "llama": True,
    "smollm3": True,
    "qwen2": False,
    "qwen3": False,
    "gemma": False,
    "gemma2": False,
    "gemma3": False,
}
"""Architectures with the linears of `LINEARS`, and whether the conversion to GGUF permutes q and k."""
LINEARS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """What of the base a twin depends on."""

    architecture: str
    heads: int
    kv_heads: int

    @classmethod
    def of(cls, metadata: Callable[[str], str]) -> "Shape":
        """The shape of a GGUF model, from its metadata values by key (empty where there is none).

        Raises:
            AdapterError: the architecture is not one of `PERMUTED`, or its layers differ in heads.
        """
        architecture = metadata("general.architecture")
        heads = metadata(f"{architecture}.attention.head_count")
        kv_heads = metadata(f"{architecture}.attention.head_count_kv") or heads
        if architecture not in PERMUTED or not heads.isdigit() or not kv_heads.isdigit():
            raise AdapterError(
                f"Adapter folders go on GGUF models of architecture {', '.join(PERMUTED)}; this one is of "
                f"{architecture!r}. Use the hf backend, or a file of llama.cpp's convert_lora_to_gguf.py."
            )
        return cls(architecture, int(heads), int(kv_heads))


def write_twin(folder: Path, out: Path, shape: Shape, *, told: bool = True) -> Path:
    """Write the GGUF twin of a PEFT folder; `out` appears whole or not at all.

    Args:
        folder: with adapter_config.json and adapter_model.safetensors.
        out: the file to write.
        shape: of the base it shall be loaded on.
        told: put card and users into the file, so that it is the same adapter where the folder is not.

    Raises:
        AdapterError: the adapter is of a kind llama.cpp cannot load.
        MissingExtra: the gguf package is not installed.
        OSError: the file cannot be written.
    """
    config = read_config(folder)
    if faults := config_faults(config):
        raise AdapterError(f"The adapter {folder} has no GGUF form: {'; '.join(faults)}.")
    pairs = read_pairs(folder)
    texts = texts_of(folder) if told else {}
    with whole_file(out) as partial:
        _write(partial, pairs, shape, alpha_of(config), texts)
    return out


def _write(path: Path, pairs: list[Pair], shape: Shape, alpha: float, texts: Mapping[str, str]) -> None:
    try:
        from gguf import GGUFWriter
    except ImportError as error:
        raise MissingExtra("An adapter in GGUF form", "local") from error
    writer = GGUFWriter(path, shape.architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    for key, text in texts.items():
        writer.add_string(key, text)
    for pair in pairs:
        name = f"blk.{pair.layer}.{LINEARS[pair.linear]}.weight"
        writer.add_tensor(f"{name}.lora_a", pair.a)
        writer.add_tensor(f"{name}.lora_b", _rows(pair, shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _rows(pair: Pair, shape: Shape) -> Matrix:
    heads = {"attn_q": shape.heads, "attn_k": shape.kv_heads}.get(LINEARS[pair.linear])
    if heads is None or not PERMUTED[shape.architecture]:
        return pair.b
    if pair.b.shape[0] % (2 * heads):
        raise AdapterError(f"The adapter does not fit this base: {pair.linear} has {pair.b.shape[0]} rows.")
    return permuted(pair.b, heads)


def permuted(matrix: Matrix, heads: int) -> Matrix:
    """Rows (heads * d, r), in each head from (2, d/2) to (d/2, 2): what rotates together stands together."""
    split = matrix.reshape(heads, 2, matrix.shape[0] // heads // 2, matrix.shape[1])
    return np.ascontiguousarray(split.swapaxes(1, 2).reshape(matrix.shape))


def twin_path(folder: Path, shape: Shape) -> Path:
    """Where the cache keeps the twin: named after all it depends on.

    Raises:
        AdapterError: the folder holds no adapter.
    """
    config = read_config(folder)
    if not (folder / WEIGHTS).is_file():
        raise AdapterError(f"{folder} is no adapter. Give a PEFT folder with {CONFIG} and {WEIGHTS}.")
    rest = json.dumps([FORM, shape.architecture, shape.heads, shape.kv_heads, config], sort_keys=True)
    return cache_dir() / "adapters" / f"{file_hash(folder / WEIGHTS)}-{content_key(rest)[:8]}.gguf"


@contextlib.contextmanager
def twin(folder: Path, shape: Shape) -> Iterator[Path]:
    """The twin of a PEFT folder, made once in the cache; where that cannot be written, for the moment only.

    Raises:
        AdapterError: the folder holds no adapter that llama.cpp can load.
        MissingExtra: the gguf package is not installed.
    """
    path = twin_path(folder, shape)
    if path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory() as spare:  # not told: folders with the same weights share a twin
        try:
            made = write_twin(folder, path, shape, told=False)
        except OSError:
            made = write_twin(folder, Path(spare) / path.name, shape, told=False)
        yield made
