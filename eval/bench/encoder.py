"""What the encoder mode costs: encoding a catalogue once, then recommending from the whole of it.

    python eval/bench/encoder.py --data ../shared/data/movielens-small --model smollm2

Prints a Markdown table: seconds for the first index of the catalogue (in an empty cache), for the next start
that finds it on disk, and for a warm recommendation (median and 99th percentile over different users). Run it
on an otherwise idle machine: llama.cpp's threads wait for each other. On a busy one, the processor seconds
with --threads 1 say what it would take.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from llmrec_prompt import Recommender
from llmrec_prompt.backends import Backend, load_backend
from llmrec_prompt.backends.cores import usable_cores
from llmrec_prompt.cache import cache_dir
from llmrec_prompt.cli.output import progress
from llmrec_prompt.data import Dataset


def main() -> None:
    """Index, index again, recommend."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="../shared/data/movielens-small")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--adapter", help="name, domain or folder of an adapter; untrained states without")
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--threads", type=int)
    parser.add_argument(
        "--keep", action="store_true", help="use the cache: skip the first index if it is there"
    )
    given = parser.parse_args()
    dataset, backend = Dataset.load(given.data), load_backend(given.model, threads=given.threads)
    with tempfile.TemporaryDirectory() as folder:
        if not given.keep:
            os.environ["LLMREC_CACHE"] = folder
        measured = measure(dataset, backend, given)
    print_table(measured)


def measure(dataset: Dataset, backend: Backend, given: argparse.Namespace) -> dict[str, str]:
    """Rows of the table."""

    def made() -> Recommender:
        return Recommender(dataset, model=backend, adapter=given.adapter, mode="encoder")

    users = dataset.users[: given.users + 1]
    rows = {"data": f"{dataset.name}, {len(dataset.items)} items", "model": backend.info.ref}
    rows |= {"engine": backend.info.engine, "threads": str(given.threads or usable_cores())}
    before = backend.usage.evaluated
    with progress():
        seconds = timed(made(), users[0])[0]
    tokens = backend.usage.evaluated - before
    rows["first index"] = f"{seconds:.1f} s ({tokens} tokens, {tokens / seconds:.0f} a second)"
    rec = made()
    rows["index from disk"] = f"{timed(rec, users[0])[0]:.2f} s ({size(cache_dir() / 'vectors')} on disk)"
    before = backend.usage.evaluated
    warm, processor = zip(*[timed(rec, user) for user in users[1:]], strict=True)
    rows["tokens of a user"] = f"{(backend.usage.evaluated - before) / len(warm):.0f}"
    rows["warm recommendation, median"] = f"{np.median(warm):.3f} s"
    rows["99th percentile"] = f"{np.percentile(warm, 99):.3f} s"
    forward = [embedding(rec, user) for user in users[1:]]
    rows["processor seconds of it, median"] = f"{np.median(processor):.3f} s"
    rows["of it the model's forward, median"] = f"{np.median(forward):.3f} s"
    return rows


def timed(rec: Recommender, user: str) -> tuple[float, float]:
    """Seconds by the clock, and of the processor, of one recommendation from the whole catalogue."""
    start, before = time.perf_counter(), time.process_time()
    rec.recommend(user=user, k=10)
    return time.perf_counter() - start, time.process_time() - before


def embedding(rec: Recommender, user: str) -> float:
    """Seconds of the state of one user alone."""
    text = rec.prompt(user=user).text
    start = time.perf_counter()
    rec.backend.embed([text])
    return time.perf_counter() - start


def size(folder: Path) -> str:
    """Megabytes of a folder's files."""
    return f"{sum(f.stat().st_size for f in folder.iterdir()) / 1e6:.0f} MB"


def print_table(rows: dict[str, str]) -> None:
    """Markdown."""
    print("| | |\n|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
