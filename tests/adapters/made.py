"""Adapter folders made by hand, without torch: random LoRA matrices for a llama-like model of any size."""

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from llmrec_prompt.adapters import Base, Card, Lora, Source, user_hash, write_readme, write_users
from llmrec_prompt.cache import file_hash
from llmrec_prompt.templates import Prompter, load_domain

LINEARS = {
    "q_proj": "self_attn",
    "k_proj": "self_attn",
    "v_proj": "self_attn",
    "o_proj": "self_attn",
    "gate_proj": "mlp",
    "up_proj": "mlp",
    "down_proj": "mlp",
}
BASE = "b179c9523d0e6a0f"


@dataclass(frozen=True)
class Size:
    """Of a model: (out, in) of each linear follows from these."""

    layers: int = 2
    hidden: int = 8
    inner: int = 12
    heads: int = 2
    kv_heads: int = 1

    def of(self, linear: str) -> tuple[int, int]:
        narrow = self.hidden // self.heads * self.kv_heads
        return {
            "q_proj": (self.hidden, self.hidden),
            "k_proj": (narrow, self.hidden),
            "v_proj": (narrow, self.hidden),
            "o_proj": (self.hidden, self.hidden),
            "gate_proj": (self.inner, self.hidden),
            "up_proj": (self.inner, self.hidden),
            "down_proj": (self.hidden, self.inner),
        }[linear]


SMALL = Size()
SMOLLM2 = Size(layers=30, hidden=576, inner=1536, heads=9, kv_heads=3)


def tensors(
    size: Size = SMALL,
    *,
    r: int = 4,
    seed: int = 0,
    targets: Iterable[str] = LINEARS,
    layers: Iterable[int] | None = None,
) -> dict[str, np.ndarray]:
    dice = np.random.default_rng(seed)
    found = {}
    for layer in range(size.layers) if layers is None else layers:
        for linear in targets:
            rows, columns = size.of(linear)
            key = f"base_model.model.model.layers.{layer}.{LINEARS[linear]}.{linear}.lora_"
            found[f"{key}A.weight"] = dice.normal(0, columns**-0.5, (r, columns)).astype(np.float32)
            found[f"{key}B.weight"] = dice.normal(0, 0.02, (rows, r)).astype(np.float32)
    return found


def write_safetensors(path: Path, arrays: Mapping[str, np.ndarray], *, dtype: str = "F32") -> None:
    """By hand, so that reading is not tested by its own mirror; BF16 cuts the lower half off."""
    header: dict[str, Any] = {}
    body = b""
    for name, array in arrays.items():
        raw = np.ascontiguousarray(array, "<f4")
        data = (
            (raw.view("<u4") >> 16).astype("<u2")
            if dtype == "BF16"
            else raw.astype({"F16": "<f2"}.get(dtype, "<f4"))
        )
        header[name] = {
            "dtype": dtype,
            "shape": list(array.shape),
            "data_offsets": [len(body), len(body) + data.nbytes],
        }
        body += data.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def write_config(folder: Path, *, r: int = 4, **other: Any) -> None:
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": r, "lora_alpha": 8, "bias": "none"}
    config |= {"target_modules": list(LINEARS), "base_model_name_or_path": None}
    (folder / "adapter_config.json").write_text(json.dumps(config | other))


def card(name: str = "toy-movies", domain: str = "movies", **other: Any) -> Card:
    values: dict[str, Any] = {
        "name": name,
        "domain": domain,
        "base": Base(ref="smollm2", hash=BASE),
        "objective": "encode",
        "mode": "encoder",
        "templates": {"movies": Prompter(load_domain("movies")).fingerprint},
        "scale": 20.0,
        "popularity": {"catalogue": 0.8, "popular": 0.0},
        "lora": Lora(r=4, alpha=8, targets=tuple(LINEARS)),
        "data": (Source(name="toy", fingerprint="ab12", licence="CC BY 4.0", users=2, interactions=9),),
        "licence": "CC BY 4.0",
        "created": date(2026, 11, 24),
        "metrics": {"validation": {"ndcg@10 uniform": 0.5123}},
    }
    return Card(**values | other)


def write_adapter(
    folder: Path, made: Card | None = None, size: Size = SMALL, *, seed: int = 0, dtype: str = "F32"
) -> Path:
    """A whole adapter whose card is true of it."""
    made = made or card()
    folder.mkdir(parents=True)
    write_config(folder, r=made.lora.r)
    weights = folder / "adapter_model.safetensors"
    write_safetensors(weights, tensors(size, r=made.lora.r, seed=seed), dtype=dtype)
    made = made.model_copy(update={"weights_hash": file_hash(weights)})
    made.save(folder)
    write_readme(made, folder)
    write_users(folder, [user_hash("toy", "u1"), user_hash("toy", "u2")])
    return folder
