"""Choose the defaults of `likelihood` and `fused` on validation users.

    python eval/tune.py --data ../shared/data --sets movielens-small online-retail shakespeare-co

The first 200 users of the seeded order are those that eval/results.py tests; the validation users here
come after them. Prints NDCG@10 of every calibration and of the best fusions. Raw parts are kept under
runs/tune, so that a second look at the weights costs nothing.
"""

import argparse
import itertools
import json
from pathlib import Path

import numpy as np

from llmrec_prompt.cli.output import progress
from llmrec_prompt.data import Dataset, leave_last_out, sample_candidates
from llmrec_prompt.progress import track
from llmrec_prompt.recommender import Recommender

TESTED = 200
CALIBRATIONS = ("catalogue", "users", "empty")
PARTS = ("embedding", "popularity", "co-occurrence")
GRID = {
    "catalogue": (0, 0.5, 1),
    "embedding": (0, 0.5, 1),
    "popularity": (0, 0.25, 0.5, 1),
    "co-occurrence": (0, 0.5, 1),
}


def main() -> None:
    """Collect the parts of each data set and kind of negatives, then print what they give."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", nargs="*", default=["movielens-small", "online-retail", "shakespeare-co"])
    parser.add_argument("--users", type=int, default=60)
    parser.add_argument("--calibrations", nargs="*", default=list(CALIBRATIONS))
    parser.add_argument("--model", default="smollm2")
    given = parser.parse_args()
    collected = {}
    for name, negatives in itertools.product(given.sets, ("uniform", "popular")):
        rows = collect(given, name, negatives)
        collected[f"{name} {negatives}"] = rows
        single = {part: round(ndcg(rows, {part: 1.0}), 3) for part in rows[0]["parts"]}
        print(f"{name} {negatives}: {single}", flush=True)
    print_fusions(collected)


def collect(given: argparse.Namespace, name: str, negatives: str) -> list[dict]:
    """Raw scores of every part for each validation user, and where the target stands among the candidates."""
    file = Path("runs/tune") / f"{name}-{negatives}-{given.users}-{'-'.join(given.calibrations)}.json"
    if file.exists():
        return json.loads(file.read_text())
    dataset = Dataset.load(given.data / name)
    cases = leave_last_out(dataset, users=TESTED + given.users, seed=0).cases[TESTED:]
    train = dataset.without([(c.user_id, c.target) for c in cases])
    made = {c: Recommender(train, model=given.model, calibration=c) for c in given.calibrations}
    first = next(iter(made.values()))
    rankers = {c: r.ranker_of("likelihood") for c, r in made.items()}
    rankers |= {part: first.ranker_of(part) for part in PARTS}
    questions = [
        ([train.item(i) for i in c.history], sample_candidates(train, c, kind=negatives, seed=0), c.target)
        for c in cases
    ]
    everything = {i: train.item(i) for _, ids, _ in questions for i in ids}
    with progress():
        for ranker in rankers.values():
            ranker.prepare(list(everything.values()))
        rows = [
            {
                "target": ids.index(target),
                "parts": {
                    n: np.asarray(r.score(history, [everything[i] for i in ids]).parts[r.name]).tolist()
                    for n, r in rankers.items()
                },
            }
            for history, ids, target in track(questions, "Users", len(questions))
        ]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(rows))
    return rows


def ndcg(rows: list[dict], weights: dict[str, float]) -> float:
    """Mean NDCG@10 of a weighted sum of z-scores; ties count as half above."""
    values = []
    for row in rows:
        scores = np.sum([w * z_score(row["parts"][part]) for part, w in weights.items() if w], axis=0)
        own = scores[row["target"]]
        place = 1 + (scores > own).sum() + ((scores == own).sum() - 1) / 2
        values.append(1 / np.log2(1 + place) if place <= 10 else 0.0)
    return float(np.mean(values))


def z_score(values: list[float]) -> np.ndarray:
    """Centred and scaled; zeros where all are equal."""
    array = np.asarray(values)
    return (array - array.mean()) / array.std() if array.std() > 1e-12 else np.zeros_like(array)


def print_fusions(collected: dict[str, list[dict]]) -> None:
    """The best weights on average over all sets and kinds, with logs and without."""
    found = []
    for values in itertools.product(*GRID.values()):
        weights = dict(zip(GRID, values, strict=True))
        if any(values):
            each = [ndcg(rows, weights) for rows in collected.values()]
            found.append((float(np.mean(each)), each, weights))
    found.sort(key=lambda entry: -entry[0])
    cold = [f for f in found if not f[2]["popularity"] and not f[2]["co-occurrence"]]
    for title, entries in (("with logs", found[:12]), ("without logs", cold[:5])):
        print(f"\nBest fusions {title} ({', '.join(collected)}):")
        for mean, each, weights in entries:
            print(f"{mean:.3f}  {' '.join(f'{v:.3f}' for v in each)}  {weights}")


if __name__ == "__main__":
    main()
