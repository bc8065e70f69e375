"""Metrics against ranx on 1,000 random runs, many with several relevant items: each one's largest difference.

ranx brings numba and pandas along, so it is no dependency; install it in an environment of its own:
    pip install ranx && NUMBA_DISABLE_JIT=1 python eval/bench/metrics.py
Uncompiled (NUMBA_DISABLE_JIT) this takes seconds, else minutes. The tests compare with ir_measures.
"""

import random
import sys

from ranx import Qrels, Run, evaluate

from llmrec_prompt.evaluate.metrics import find_metric

NAMES = {
    "ndcg@10": "ndcg@10",
    "hr@5": "hit_rate@5",
    "mrr": "mrr",
    "mrr@5": "mrr@5",
    "map": "map",
    "precision@5": "precision@5",
    "recall@10": "recall@10",
}
"""Ours, and what ranx calls it."""
RUNS, ITEMS, RELEVANT, LARGEST = 1000, 60, 12, 1e-9


def main() -> None:
    """Print a line for each metric; fail where one differs."""
    rng = random.Random(0)
    runs, wanted = {}, {}
    for n in range(RUNS):
        pool = [f"i{item}" for item in range(rng.randint(1, ITEMS))]
        runs[f"q{n:04}"] = rng.sample(pool, rng.randint(1, len(pool)))
        wanted[f"q{n:04}"] = set(rng.sample(pool, rng.randint(1, min(RELEVANT, len(pool)))))
    qrels = Qrels({q: dict.fromkeys(sorted(ids), 1) for q, ids in wanted.items()})
    scored = Run({q: {i: -float(rank) for rank, i in enumerate(ids)} for q, ids in runs.items()})
    theirs = evaluate(qrels, scored, list(NAMES.values()), return_mean=False)
    worst = 0.0
    for ours, other in NAMES.items():
        metric = find_metric(ours)
        values = zip(sorted(runs), theirs[other], strict=True)
        largest = max(abs(metric(runs[q], wanted[q]) - value) for q, value in values)
        print(f"{ours:12} {largest:.1e} over {RUNS} runs")
        worst = max(worst, largest)
    sys.exit(int(worst > LARGEST))


if __name__ == "__main__":
    main()
