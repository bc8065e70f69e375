"""A small random LoRA for a loaded hf model, as a PEFT folder and as its twin in GGUF."""

from pathlib import Path
from typing import Any

import numpy as np

RANK, ALPHA = 4, 8.0
LINEARS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
Weights = dict[str, tuple[np.ndarray, np.ndarray]]


def random_weights(model: Any, seed: int, *, scale: float = 0.02) -> Weights:
    """A and B for every linear layer, by module path; neither is zero."""
    dice = np.random.default_rng(seed)
    weights = {}
    for path, module in model.named_modules():
        if path.rpartition("layers.")[2].partition(".")[2] in LINEARS:
            a = dice.normal(0, module.in_features**-0.5, (RANK, module.in_features))
            b = dice.normal(0, scale, (module.out_features, RANK))
            weights[path] = a.astype(np.float32), b.astype(np.float32)
    return weights


def write_peft(folder: Path, weights: Weights) -> Path:
    from peft import LoraConfig
    from safetensors.numpy import save_file

    targets = [name.rpartition(".")[2] for name in LINEARS]
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=targets, task_type="CAUSAL_LM")
    config.save_pretrained(folder)
    sides = {
        f"base_model.model.{path}.lora_{side}.weight": matrix
        for path, pair in weights.items()
        for side, matrix in zip("AB", pair, strict=True)
    }
    save_file(sides, folder / "adapter_model.safetensors")
    return folder


def write_gguf(path: Path, weights: Weights, *, heads: int, kv_heads: int) -> Path:
    """The same for llama.cpp, whose llama models have the rows of q and k in another order."""
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", ALPHA)
    for module, (a, b) in weights.items():
        layer, _, linear = module.rpartition("layers.")[2].partition(".")
        name = f"blk.{layer}.{LINEARS[linear]}.weight"
        rows = {"attn_q": heads, "attn_k": kv_heads}.get(LINEARS[linear])
        writer.add_tensor(f"{name}.lora_a", a)
        writer.add_tensor(f"{name}.lora_b", b if rows is None else permuted(b, rows))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def permuted(matrix: np.ndarray, heads: int) -> np.ndarray:
    """Per head, from (2, d/2) to (d/2, 2): halves that rotate together become neighbours."""
    split = matrix.reshape(heads, 2, matrix.shape[0] // heads // 2, matrix.shape[1])
    return np.ascontiguousarray(split.swapaxes(1, 2).reshape(matrix.shape))
