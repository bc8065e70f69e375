"""Baselines against popularity: leave-last-out, ranked against the whole catalogue, with tests and words.

python eval/bench/baselines.py DATA_SET_FOLDER --users 100
"""

import argparse
import time
from pathlib import Path

import numpy as np

from llmrec_prompt.data import Case, Dataset, Split, leave_last_out
from llmrec_prompt.evaluate.comparison import against_baseline, compare_runs, verdict
from llmrec_prompt.scorers import Ingredients, Scorer, build_scorer
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
        ranks = {case.user_id: rank(scorer, split, case) for case in split.cases}
        rows[name] = {user: ndcg(place) for user, place in ranks.items()}
        hits = np.mean([place <= CUTOFF for place in ranks.values()])
        mean = np.mean(list(rows[name].values()))
        print(
            f"{name:14} ndcg@{CUTOFF} {mean:.4f}  hr@{CUTOFF} {hits:.2f}  fitted in {fitted:.1f} s",
            flush=True,
        )
    for name, found in against_baseline(rows, SCORERS[0], seed=given.seed).items():
        compared = compare_runs(rows[name], rows[SCORERS[0]], seed=given.seed)
        print(verdict(compared, a=name, b=SCORERS[0], p=found["p_holm"]))


def rank(scorer: Scorer, split: Split, case: Case) -> float:
    """The target's place among all items that the user has not; a tie counts as half above."""
    train = split.train
    scores = scorer.score([train.item(item_id) for item_id in case.history])
    asked = np.ones(len(scores), dtype=bool)
    asked[train.item_rows(train.consumed(case.user_id) - {case.target})] = False
    own, others = scores[train.index[case.target]], scores[asked]
    return float(1 + (others > own).sum() + ((others == own).sum() - 1) / 2)


def ndcg(place: float) -> float:
    """NDCG@10 of one target."""
    return float(1 / np.log2(1 + place)) if place <= CUTOFF else 0.0


if __name__ == "__main__":
    main()
