"""What switching adapters costs, in both engines, with the packaged SmolLM2 and two random adapters.

    python eval/bench/swap.py [--switches 500] [--rank 8]

A table in Markdown: `use()` with both adapters loaded (median and 99th percentile), the first load from a
folder (llama.cpp: with and without its GGUF twin in the cache), memory of one more adapter, and what the
first score after a switch costs beyond the same score again with nothing kept.
"""

import argparse
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from llmrec_prompt.adapters.card import WEIGHTS
from llmrec_prompt.adapters.weights import read_tensors
from llmrec_prompt.backends import Backend, ScoreRequest, load_backend
from llmrec_prompt.cache import cache_dir

LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
REQUEST = ScoreRequest(
    "Movies that a viewer watched, in order:\n" + "".join(f"A film called number {n}\n" for n in range(10)),
    [f"Another film called {n}\n" for n in range(20)],
)


def main() -> None:
    """Measure both engines and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--switches", type=int, default=500)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--first", nargs=2, metavar=("MODEL", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.first:
        backend = load_backend(options.first[0])
        before = time.process_time()
        print(first_load(backend, options.first[1]), 1000 * (time.process_time() - before))
        return
    hf = load_backend("hf:smollm2")
    with tempfile.TemporaryDirectory() as folder:
        names = [write_adapter(hf, Path(folder) / f"{seed}", seed, options.rank) for seed in range(3)]
        found = {"hf": measure(hf, "hf:smollm2", names, options.switches)}
        hf.close()
        twins = set((cache_dir() / "adapters").glob("*.gguf"))
        found["llama_cpp"] = measure(load_backend("smollm2"), "smollm2", names, options.switches)
        found["llama_cpp"]["first load, twin in the cache"], _ = in_a_new_process("smollm2", names[0])
        for made in set((cache_dir() / "adapters").glob("*.gguf")) - twins:
            made.unlink()
    print_table(found)


def in_a_new_process(model: str, folder: str) -> tuple[float, float]:
    """Milliseconds of the first `use` of a process, imports included: by the clock, and of CPU time."""
    command = [sys.executable, __file__, "--first", model, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    wall, cpu = done.stdout.split()[-2:]
    return float(wall), float(cpu)


def write_adapter(hf: Any, folder: Path, seed: int, rank: int) -> str:
    """A LoRA with random A and B on every linear of the model, in bfloat16, as a PEFT folder."""
    import torch
    from peft import LoraConfig
    from safetensors.torch import save_file

    LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=list(LINEARS), task_type="CAUSAL_LM"
    ).save_pretrained(folder)
    dice = torch.Generator().manual_seed(seed)
    tensors = {}
    for path, module in hf._network.model.named_modules():
        if path.rpartition(".")[2] in LINEARS:
            key = f"base_model.model.{path}.lora_"
            sizes = {"A": (rank, module.in_features), "B": (module.out_features, rank)}
            for side, size in sizes.items():
                tensors[f"{key}{side}.weight"] = (0.02 * torch.randn(size, generator=dice)).bfloat16()
    save_file(tensors, folder / "adapter_model.safetensors")
    return str(folder)


def measure(backend: Backend, model: str, names: list[str], switches: int) -> dict[str, float]:
    """Milliseconds, and megabytes for memory."""
    wall, cpu = in_a_new_process(model, names[0])
    found = {"first load, imports included": wall, "the same, CPU time": cpu}
    backend.use(names[0])
    backend.score([REQUEST])
    found["first load, second adapter"] = first_load(backend, names[1])
    before = resident()
    found["first load, third adapter"] = first_load(backend, names[2])
    found["memory of the third, as seen by the system (MB)"] = resident() - before
    numbers = sum(matrix.size for matrix in read_tensors(Path(names[2]) / WEIGHTS).values())
    found["its weights in single precision (MB)"] = 4 * numbers / 1e6
    backend.score([REQUEST])
    times = [timed(lambda n=n: backend.use(names[n % 2])) for n in range(switches)]
    found["use(), median"] = float(np.median(times))
    found["use(), 99th percentile"] = float(np.percentile(times, 99))
    found["use(None), median"] = float(
        np.median([timed(lambda n=n: backend.use([names[0], None][n % 2])) for n in range(switches)][1::2])
    )
    after, again = [], []
    for n in range(6):
        backend.use(names[n % 2])
        after.append(timed(lambda: backend.score([REQUEST])))
        backend.use(names[n % 2])  # forgets the prefix, changes no adapter
        again.append(timed(lambda: backend.score([REQUEST])))
    found["score after a switch, median"] = float(np.median(after))
    found["the same score without one"] = float(np.median(again))
    return found


def first_load(backend: Backend, name: str) -> float:
    """Milliseconds of the first `use` of an adapter."""
    gc.collect()
    return timed(lambda: backend.use(name))


def timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def resident() -> float:
    """Megabytes of memory this process holds (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def print_table(found: dict[str, dict[str, float]]) -> None:
    """One row a figure, one column an engine."""
    rows = list(dict.fromkeys(key for column in found.values() for key in column))
    print(f"| milliseconds, {os.cpu_count()} cores | {' | '.join(found)} |")
    print("|---|" + "---|" * len(found))
    for row in rows:
        cells = [f"{column[row]:.3f}" if row in column else "" for column in found.values()]
        print(f"| {row} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
