"""The LoRA matrices of a PEFT folder as numpy arrays. Safetensors only.

Read by hand, since the format is a JSON header and raw numbers, and numpy has no bfloat16.
"""

import json
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llmrec_prompt.adapters.card import CONFIG, WEIGHTS
from llmrec_prompt.cache import file_stamp
from llmrec_prompt.errors import AdapterError, first_line

Matrix = npt.NDArray[np.float32]
KEY = re.compile(
    r"base_model\.model\.(?:\w+\.)*layers\.(?P<layer>\d+)\."
    r"(?P<linear>self_attn\.[qkvo]_proj|mlp\.(?:gate|up|down)_proj)\.lora_(?P<side>[AB])\.weight"
)
FAULTS = (AttributeError, KeyError, RecursionError, TypeError, ValueError, struct.error)
"""What a header raises that is none."""
_DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True, slots=True)
class Pair:
    """One adapted linear layer: its output gains scale * B A x; A is (r, in), B is (out, r)."""

    layer: int
    linear: str
    a: Matrix
    b: Matrix


def file_state(path: Path) -> tuple[int, ...]:
    """Of a PEFT folder or a file, numbers that change whenever it is written anew."""
    files = [path / WEIGHTS, path / CONFIG] if path.is_dir() else [path]
    return tuple(number for file in files if file.is_file() for number in file_stamp(file))


def read_tensors(path: Path) -> dict[str, Matrix]:
    """All tensors of a safetensors file in single precision.

    Raises:
        AdapterError: it is missing, cut off, no safetensors, or holds other numbers than F32, F16, BF16.
    """
    try:
        data = path.read_bytes()
        (length,) = struct.unpack_from("<Q", data)
        if length > len(data) - 8:
            raise ValueError("it is cut off")
        header = json.loads(data[8 : 8 + length])
        return dict(_tensors(header, memoryview(data)[8 + length :]))
    except (*FAULTS, OSError) as error:
        raise AdapterError(f"{path} cannot be read as safetensors: {first_line(error)}.") from error


def _tensors(header: Mapping[str, Any], data: memoryview) -> Iterator[tuple[str, Matrix]]:
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        raw = np.frombuffer(data[begin:end], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
        if entry["dtype"] == "BF16":  # the upper half of a single-precision number
            yield name, (raw.astype(np.uint32) << 16).view(np.float32)
        else:
            yield name, raw.astype(np.float32)


def read_pairs(folder: Path) -> list[Pair]:
    """The LoRA matrices of a PEFT folder, by layer.

    Raises:
        AdapterError: a tensor is no LoRA matrix of an attention or MLP linear, or lacks its partner.
    """
    sides: dict[tuple[int, str], dict[str, Matrix]] = {}
    for key, matrix in read_tensors(folder / WEIGHTS).items():
        found = KEY.fullmatch(key)
        if not found or matrix.ndim != 2:
            raise AdapterError(
                f"The adapter {folder} adapts {key}, which llama.cpp does not know. "
                "Train on attention and MLP linears only."
            )
        sides.setdefault((int(found["layer"]), found["linear"]), {})[found["side"]] = matrix
    for (layer, linear), pair in sides.items():
        if set(pair) != {"A", "B"} or pair["A"].shape[0] != pair["B"].shape[1]:
            raise AdapterError(
                f"The adapter {folder} is damaged: A and B of layer {layer} {linear} do not fit."
            )
    if not sides:
        raise AdapterError(f"The adapter {folder} holds no weights.")
    return [Pair(layer, linear, p["A"], p["B"]) for (layer, linear), p in sorted(sides.items())]
