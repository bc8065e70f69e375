"""Memory and speed of the evaluation itself: many users, a fake model, one whole run with its report.

    python eval/bench/flat.py --users 100000

Prints answers a second of processor time and the peak of the process's memory, for a tenth of the users and
for all: what grows with users are arrays of numbers, some hundred bytes a user and ranker, and nothing else.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from llmrec_prompt.data import Dataset, write_two_file
from llmrec_prompt.evaluate import Plan, evaluate
from llmrec_prompt.evaluate.run import read_lines
from llmrec_prompt.types import Interaction, Item

RANKERS = ("random", "popularity", "likelihood")
LENGTH = 6
"""Items of each user."""


def main() -> None:
    """Measure each size in a process of its own, so that no peak hides another."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(measure(given, given.one), flush=True)
        return
    for users in (given.users // 10, given.users):
        with tempfile.TemporaryDirectory() as folder:
            options = ["--users", users, "--items", given.items, "--candidates", given.candidates]
            command = [sys.executable, __file__, *map(str, options), "--one", folder]
            subprocess.run(command, check=True, env={**os.environ, "LLMREC_CACHE": f"{folder}/cache"})


def measure(given: argparse.Namespace, folder: Path) -> str:
    """One run of all users; what it took, in a line."""
    shop(given, folder / "shop")
    before = peak()
    start = time.process_time()
    plan = Plan(
        data=str(folder / "shop"),
        users=None,
        candidates=given.candidates,
        rankers=RANKERS,
        model="fake:overlap",
        embedder="backend",
    )
    done = evaluate(plan, out=folder / "run")
    seconds = time.process_time() - start
    answers = sum(1 for _ in read_lines(folder / "run" / "rows.jsonl"))
    return (
        f"{done.facts['users']} users, {answers} answers and the report: {answers / seconds:.0f} a second "
        f"of processor time, {seconds:.0f} s; peak memory {peak():.0f} MiB ({before:.0f} MiB before the run)"
    )


def shop(given: argparse.Namespace, folder: Path) -> None:
    """Users with random items of a catalogue with random two-word titles."""
    rng = np.random.default_rng(0)
    items = [Item(item_id=f"i{n}", title=f"thing{n % 97} kind{n % 89}") for n in range(given.items)]
    rows = (
        Interaction(f"u{user}", f"i{item}", None, float(place))
        for user in range(given.users)
        for place, item in enumerate(rng.choice(given.items, LENGTH, replace=False).tolist())
    )
    write_two_file(Dataset.from_rows(items, rows, name="flat", domain="shopping"), folder)


def peak() -> float:
    """Most memory that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
