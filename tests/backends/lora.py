"""A small random LoRA for a loaded hf model, as a PEFT folder."""

from pathlib import Path
from typing import Any

import numpy as np

from llmrec_prompt.adapters.gguf import LINEARS

RANK, ALPHA = 4, 8.0
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


def write_peft(folder: Path, weights: Weights, **options: Any) -> Path:
    from peft import LoraConfig
    from safetensors.numpy import save_file

    options = {"target_modules": [name.rpartition(".")[2] for name in LINEARS], **options}
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, task_type="CAUSAL_LM", **options)
    config.save_pretrained(folder)
    sides = {
        f"base_model.model.{path}.lora_{side}.weight": matrix
        for path, pair in weights.items()
        for side, matrix in zip("AB", pair, strict=True)
    }
    save_file(sides, folder / "adapter_model.safetensors")
    return folder
