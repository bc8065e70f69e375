"""Do llama.cpp and transformers agree on the same GGUF file?

    python eval/bench/parity.py --model smollm2

Scores 57 titles after 5 histories with both engines (llama.cpp once as it runs by default, once from an F32
copy) and prints the largest difference of log-probabilities, the rank correlation of the candidates, the
cosine of hidden states, and how many texts get the same tokens.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from llmrec_prompt.backends import ScoreRequest, load_backend
from llmrec_prompt.backends.llama_cpp import LlamaCppBackend
from llmrec_prompt.backends.llama_cpp.engine import requantize
from llmrec_prompt.backends.models import gguf_path
from llmrec_prompt.data import Dataset

HISTORIES = 5


def main() -> None:
    """Compare, one line an engine."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2", choices=["smollm2", "gemma3-270m"])
    model = parser.parse_args().model
    titles = [item.title for item in Dataset.load("sample:movies").items]
    requests = [request(titles, n) for n in range(HISTORIES)]
    hf = load_backend(f"hf:{model}")
    theirs, states = scores(hf, requests), hf.embed(titles)
    with tempfile.TemporaryDirectory() as folder:
        exact = Path(folder) / "f32.gguf"
        requantize(gguf_path(model), exact, kind="f32", threads=2)
        for name, backend in (
            ("default", load_backend(model)),
            ("F32 copy", LlamaCppBackend(exact, ref="f32", model_hash="f32")),
        ):
            same = sum(backend.tokenize(t) == hf.tokenize(t) for t in titles)  # type: ignore[attr-defined]
            ours = scores(backend, requests)
            ranks = min(spearman(a, b) for a, b in zip(ours, theirs, strict=True))
            print(
                f"{model}, llama.cpp {name} against hf float32: "
                f"largest |d log p| {np.abs(ours - theirs).max():.5f}, "
                f"Spearman {ranks:.5f} (worst history), "
                f"cosine of states {cosine(backend.embed(titles), states):.7f} (worst title), "
                f"same tokens {same} of {len(titles)}",
                flush=True,
            )
            backend.close()


def request(titles: list[str], number: int) -> ScoreRequest:
    """A history of ten titles and the others as candidates."""
    rolled = titles[number * 7 :] + titles[: number * 7]
    prompt = "Movies that a viewer watched, in order:\n" + "".join(f"{t}\n" for t in rolled[:10])
    return ScoreRequest(prompt, [f"{t}\n" for t in rolled[10:70]])


def scores(backend: object, requests: list[ScoreRequest]) -> np.ndarray:
    """Log-probabilities of shape (histories, candidates)."""
    return np.array([[s.logprob for s in row] for row in backend.score(requests)])  # type: ignore[attr-defined]


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation (no ties in log-probabilities)."""
    return float(np.corrcoef(a.argsort().argsort(), b.argsort().argsort())[0, 1])


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """The smallest cosine of matching rows."""
    products = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return float(products.min())


if __name__ == "__main__":
    main()
