"""LoRA matrices of whole adapters: read, added, cut to a rank, written in bfloat16. Only numpy."""

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llmrec_prompt.adapters.card import CONFIG, WEIGHTS
from llmrec_prompt.adapters.config import alpha_of, config_faults, read_config
from llmrec_prompt.adapters.weights import read_pairs, read_tensors
from llmrec_prompt.errors import AdapterError

Matrix = npt.NDArray[np.float32]
Pairs = dict[str, tuple[Matrix, Matrix]]
"""By the key of A in the file: A (r, in) and B (out, r), where B carries the scale: delta W = B A."""
A, B = ".lora_A.", ".lora_B."


def read_scaled(folder: Path) -> Pairs:
    """The matrices of an adapter folder, alpha / r multiplied into B.

    Raises:
        AdapterError: it is no LoRA adapter of the portable kind, or damaged.
    """
    config = read_config(folder)
    if faults := config_faults(config):
        raise AdapterError(f"The adapter {folder} cannot be composed: {'; '.join(faults)}.")
    read_pairs(folder)  # names what is missing or does not fit
    tensors = read_tensors(folder / WEIGHTS)
    scale = alpha_of(config) / config["r"]
    return {
        key: (tensors[key], np.asarray(scale * tensors[key.replace(A, B)], np.float32))
        for key in sorted(tensors)
        if A in key
    }


def side_by_side(adapters: Sequence[Pairs], weights: Sequence[float]) -> Pairs:
    """sum_i w_i B_i A_i as one pair for each linear, at the sum of the ranks.

    Raises:
        AdapterError: they adapt other linears, or linears of other sizes.
    """
    first = adapters[0]
    for other in adapters[1:]:
        if _shapes(other) != _shapes(first):
            raise AdapterError("The adapters adapt other linears, or linears of other sizes.")
    return {
        key: (
            np.concatenate([pairs[key][0] for pairs in adapters]),
            np.concatenate(
                [np.float32(w) * pairs[key][1] for w, pairs in zip(weights, adapters, strict=True)], axis=1
            ),
        )
        for key in first
    }


def _shapes(pairs: Pairs) -> dict[str, tuple[int, int]]:
    return {key: (b.shape[0], a.shape[1]) for key, (a, b) in pairs.items()}


def truncated(pairs: Pairs, rank: int) -> Pairs:
    """Each B A at its best approximation of a rank (Eckart and Young 1936), through two thin QRs.

    A linear that is narrower than the rank is filled up with zeros: all linears of an adapter have one rank.
    """
    found = {}
    for key, (a, b) in pairs.items():
        left, upper = np.linalg.qr(b.astype(np.float64))
        right, lower = np.linalg.qr(a.astype(np.float64).T)
        u, s, v = np.linalg.svd(upper @ lower.T, full_matrices=False)
        root = np.sqrt(s[:rank])
        short = rank - len(root)
        rows, columns = (root[:, None] * v[:rank]) @ right.T, left @ (u[:, :rank] * root)
        found[key] = (
            np.pad(rows, ((0, short), (0, 0))).astype(np.float32),
            np.pad(columns, ((0, 0), (0, short))).astype(np.float32),
        )
    return found


def norm(pairs: Pairs) -> float:
    """The Frobenius norm of all B A together: |B A|^2 = sum of (B'B) * (AA')."""
    squares = 0.0
    for a, b in pairs.values():
        one, other = a.astype(np.float64), b.astype(np.float64)
        squares += float(((other.T @ other) * (one @ one.T)).sum())
    return float(np.sqrt(max(squares, 0.0)))


def write_pairs(pairs: Pairs, like: Path, folder: Path) -> int:
    """Write PEFT's two files: weights in bfloat16, and the configuration of `like` at this rank, alpha = r.

    Returns:
        The rank.
    """
    rank = len(next(iter(pairs.values()))[0])
    tensors = {key: a for key, (a, _) in pairs.items()}
    tensors |= {key.replace(A, B): b for key, (_, b) in pairs.items()}
    write_bfloat16(folder / WEIGHTS, tensors)
    config = read_config(like) | {"r": rank, "lora_alpha": rank, "use_rslora": False}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return rank


def write_bfloat16(path: Path, tensors: Mapping[str, Matrix]) -> None:
    """A safetensors file of numbers that bfloat16 holds; what it does not hold is cut off."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    parts, begin = [], 0
    for name in sorted(tensors):
        data = (np.ascontiguousarray(tensors[name], "<f4").view("<u4") >> 16).astype("<u2").tobytes()
        end = begin + len(data)
        header[name] = {"dtype": "BF16", "shape": list(tensors[name].shape), "data_offsets": [begin, end]}
        parts.append(data)
        begin = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))
