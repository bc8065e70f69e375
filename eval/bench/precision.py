"""What precision of the packaged model costs and gives in llama.cpp.

    python eval/bench/precision.py

For the file as shipped and for F16, F32 and Q8_0 copies of it: tokens a second, and how far the score of a
title moves when it is scored alone instead of among sixty others (0 would be perfect).
"""

import tempfile
import time
from pathlib import Path

import numpy as np

from llmrec_prompt.backends import ScoreRequest
from llmrec_prompt.backends.llama_cpp import LlamaCppBackend
from llmrec_prompt.backends.llama_cpp.engine import requantize
from llmrec_prompt.backends.models import gguf_path
from llmrec_prompt.data import Dataset


def main() -> None:
    """Print one line a precision."""
    titles = [item.title for item in Dataset.load("sample:movies").items]
    prompt = "Movies that a viewer watched, in order:\n" + "".join(t + "\n" for t in titles[:10])
    lines = [t + "\n" for t in titles[10:]]
    source = gguf_path("smollm2")
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("shipped", "q8_0", "f16", "f32"):
            path = source
            if kind != "shipped":
                path = Path(folder) / f"{kind}.gguf"
                requantize(source, path, kind=kind, threads=2)
            print(f"{kind:8}", measure(path, prompt, lines), flush=True)


def measure(path: Path, prompt: str, lines: list[str]) -> str:
    """Speed over three fresh evaluations, and the shift between alone and together."""
    backend = LlamaCppBackend(path, ref=path.name, model_hash=path.name)
    rates = []
    for attempt in range(4):
        backend.use(None)  # forgets the prefix
        before, start = backend.usage.evaluated, time.perf_counter()
        together = backend.score([ScoreRequest(prompt, lines)])[0]
        if attempt:
            rates.append((backend.usage.evaluated - before) / (time.perf_counter() - start))
    alone = [backend.score([ScoreRequest(prompt, [line])])[0][0].logprob for line in lines]
    shift = np.abs(np.array([s.logprob for s in together]) - np.array(alone))
    backend.close()
    return (
        f"{path.stat().st_size / 1e6:5.0f} MB  {np.median(rates):5.0f} tokens/s  "
        f"shift alone/together: mean {shift.mean():.4f}, largest {shift.max():.4f} nats"
    )


if __name__ == "__main__":
    main()
