"""Baselines against popularity: leave-last-out, ranked against the whole catalogue, with tests and words.

python eval/bench/baselines.py DATA_SET_FOLDER --users 100
"""

import argparse
import time
from pathlib import Path

import numpy as np
from networks import rank

from llmrec_prompt.data import Dataset, leave_last_out
from llmrec_prompt.evaluate.comparison import against_baseline, compare_runs, verdict
from llmrec_prompt.scorers import Ingredients, build_scorer
from llmrec_prompt.templates import Prompter, load_domain

SCORERS = ("popularity", "recency", "co-occurrence", "item-knn", "als", "bpr")
CUTOFF = 10


def main() -> None:
    """Read the command line and print a row for each scorer, then what can be told from chance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scorers", nargs="*", default=list(SCORERS))
    given = parser.parse_args()
    split = leave_last_out(Dataset.load(given.data), users=given.users, seed=given.seed)
    ingredients = Ingredients(split.train, Prompter(load_domain(split.train.domain)), seed=given.seed)
    rows = {}
    for name in given.scorers:
        start = time.perf_counter()
        scorer = build_scorer(name, ingredients)
        fitted = time.perf_counter() - start
        ranks = {case.user_id: rank(scorer, split, case, "last", len(case.history)) for case in split.cases}
        rows[name] = {user: 1 / np.log2(1 + place) * (place <= CUTOFF) for user, place in ranks.items()}
        hits = np.mean([place <= CUTOFF for place in ranks.values()])
        mean = np.mean(list(rows[name].values()))
        print(
            f"{name:14} ndcg@{CUTOFF} {mean:.4f}  hr@{CUTOFF} {hits:.2f}  fitted in {fitted:.1f} s",
            flush=True,
        )
    for name, found in against_baseline(rows, SCORERS[0], seed=given.seed).items():
        compared = compare_runs(rows[name], rows[SCORERS[0]], seed=given.seed)
        print(verdict(compared, a=name, b=SCORERS[0], p=found["p_holm"]))


if __name__ == "__main__":
    main()
