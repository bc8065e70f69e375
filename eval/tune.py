"""Choose the default weights of `fused` on validation users, and see what `stacked` gains over them.

    LLMREC_PRECISION=bf16 python eval/tune.py --data ../shared/data --model hf:smollm2
    python eval/tune.py --model hf:smollm2 --adapter smollm2-general --without likelihood item-knn \
      --sets restaurants-mx se-quantum nemig-de shakespeare-co
    python eval/tune.py --model hf:smollm2 --adapter smollm2-games --earlier --sets ifdb --users 200 \
      --without likelihood
    python eval/tune.py --model hf:smollm2 --history 1

The second is for domains that an adapter has not seen: what should stand beside its encoder there. The third
is for domains that it has: those users whom it has not learnt from are the tested ones, so they are asked for
the like before the one that is tested, and nobody here knows that one. The fourth shows the latest item of
each history alone.
The users here are none of those whom the suites and eval/adaptation.py test. Each is
asked three times: with logs; for a target that the logs do not know (`new item`: nobody has met it); and
without logs. Prints NDCG@10 of every part and of the best fusions, and of the default weights beside those
that `stacked` learns from some of the users, on the others. Parts are kept under runs/tune, so that a second
look at the weights costs nothing.
"""

import argparse
import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from llmrec_prompt.adapters import find
from llmrec_prompt.backends import load_backend
from llmrec_prompt.cache import content_key
from llmrec_prompt.cli.output import progress
from llmrec_prompt.data import COLD_LENGTHS, Case, Dataset, cold_item, leave_last_out, sample_candidates
from llmrec_prompt.progress import track
from llmrec_prompt.rank import Ranker, combine
from llmrec_prompt.rank.choices import conditional_logit
from llmrec_prompt.rank.identity import code_fingerprint
from llmrec_prompt.rank.priors import SOURCES
from llmrec_prompt.rank.stacking import SCALE, STRENGTH, USERS
from llmrec_prompt.rank.weights import default_weights
from llmrec_prompt.recommender import Recommender
from llmrec_prompt.templates import Prompter, load_domain
from llmrec_prompt.types import Item

TESTED = {"restaurants-mx": 40, "se-quantum": 40}
"""Users of leave-last-out; 200 in the larger sets."""
COLD = 60
"""Users of each cold protocol, at most."""
SETS = (
    "movielens-small",
    "online-retail",
    "shakespeare-co",
    "ifdb",
    "nemig-de",
    "restaurants-mx",
    "se-quantum",
)
TEXT = {"likelihood": (0, 0.5, 1), "embedding": (0, 0.5, 1), "bm25": (0, 0.5, 1), "encoder": (0, 0.5, 1)}
LOGS = {"popularity": (0, 0.25, 0.5, 1), "co-occurrence": (0, 0.5, 1, 2), "item-knn": (0, 0.5, 1, 2)}
PARTS = (*TEXT, *LOGS)
DRAWS = 20
"""Of the users whom weights are learnt from."""
Array = np.ndarray[Any, np.dtype[np.float64]]


def main() -> None:
    """Collect the parts of each data set and kind of negatives, then print what they give."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--users", type=int, default=40)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--adapter", help="the model's adapter")
    parser.add_argument("--earlier", action="store_true", help="ask tested users for an earlier like")
    parser.add_argument("--history", type=int, help="how many of the latest items to show; all if not given")
    parser.add_argument("--without", nargs="*", default=[], choices=PARTS, help="parts to leave out")
    parser.add_argument("--calibration", default="catalogue", choices=SOURCES, help="of the likelihood")
    parser.add_argument("--best", type=int, default=10, help="fusions to print")
    given = parser.parse_args()
    given.parts = [part for part in PARTS if part not in given.without]
    backend = load_backend(given.model)
    rows = {}
    for name, negatives in itertools.product(given.sets, ("uniform", "popular")):
        rows[f"{name} {negatives}"] = collect(given, backend, name, negatives)
    report(rows, given.best)
    stacked(given, rows)


def collect(given: argparse.Namespace, backend: Any, name: str, negatives: str) -> list[dict[str, Any]]:
    """Raw scores of every part for each validation user, and where the target stands among the candidates."""
    dataset = Dataset.load(given.data / name)
    file = Path("runs/tune") / f"{name}-{negatives}-{key_of(given, backend, dataset)}.json"
    if file.exists():
        return list(json.loads(file.read_text()))
    train, cases = questions_of(given, name, dataset)
    recommender = Recommender(
        train, model=backend, calibration=given.calibration, adapter=given.adapter, task=negatives
    )
    rankers = {part: recommender.ranker_of(part) for part in given.parts}
    questions = [(c, sample_candidates(train, c, kind=negatives, seed=0)) for c in cases]
    everything = {i: train.item(i) for _, ids in questions for i in ids}
    with progress():
        for ranker in rankers.values():
            ranker.prepare(list(everything.values()))
        rows = [
            row_of(train, rankers, case, [everything[i] for i in ids])
            for case, ids in track(questions, f"{name}, {negatives}", len(questions))
        ]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(rows))
    return rows


def questions_of(given: argparse.Namespace, name: str, dataset: Dataset) -> tuple[Dataset, Sequence[Case]]:
    """Users who are not tested, or the tested ones an item earlier; the logs without what is asked for."""
    if given.earlier:
        last = leave_last_out(dataset, users=TESTED.get(name, 200), seed=0)
        split = leave_last_out(
            last.train, users=given.users, seed=0, among={case.user_id for case in last.cases}
        )
        return split.train, split.cases
    others = {*dataset.users} - tested_users(name, dataset)
    split = leave_last_out(dataset, users=given.users, seed=0, min_history=given.history or 1, among=others)
    latest = slice(-given.history if given.history else None, None)
    return split.train, [replace(case, history=case.history[latest]) for case in split.cases]


def tested_users(name: str, dataset: Dataset) -> set[str]:
    """Whom any suite asks."""
    longest = max(COLD_LENGTHS)
    splits = (
        leave_last_out(dataset, users=TESTED.get(name, 200), seed=0),
        leave_last_out(dataset, users=COLD, seed=0, min_history=longest),
        cold_item(dataset, users=COLD, seed=0),
    )
    return {case.user_id for split in splits for case in split.cases}


def key_of(given: argparse.Namespace, backend: Any, dataset: Dataset) -> str:
    """16 hex digits over all that could change a part, the names of the parts among it."""
    facts = {
        "parts": given.parts,
        "users": given.users,
        "earlier": given.earlier,
        "history": given.history,
        "calibration": given.calibration,
        "model_hash": backend.info.hash,
        "engine": [backend.info.engine, backend.info.context],
        "adapter": find(given.adapter).card.model_dump_json() if given.adapter else "",
        "data_fingerprint": dataset.fingerprint,
        "template_fingerprint": Prompter(load_domain(dataset.domain)).fingerprint,
        "code": code_fingerprint(),
    }
    return content_key(json.dumps(facts, sort_keys=True))[:16]


def row_of(train: Dataset, rankers: dict[str, Ranker], case: Case, candidates: list[Item]) -> dict[str, Any]:
    """What every part says of a user's candidates, which of them anybody has met, the target's place."""
    history, met = [train.item(i) for i in case.history], train.met()
    return {
        "target": [item.item_id for item in candidates].index(case.target),
        "met": [bool(met[train.index[item.item_id]]) for item in candidates],
        "parts": {
            part: combine(ranker.score(history, candidates)).tolist() for part, ranker in rankers.items()
        },
    }


def report(rows: dict[str, list[dict[str, Any]]], best: int) -> None:
    """Every part alone, then the best weights in the mean over sets, for each of the three occasions."""
    there = next(iter(rows.values()))[0]["parts"]
    text = {part: weights for part, weights in TEXT.items() if part in there}
    logs = {part: weights for part, weights in LOGS.items() if part in there}
    for occasion, grid in (("with logs", text | logs), ("new item", text | logs), ("without logs", text)):
        exams = {name: Parts(asked, occasion == "new item") for name, asked in rows.items()}
        print(f"\n{occasion}: {', '.join(exams)}")
        for part in grid:
            show({part: 1.0}, exams)
        found = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
        ranked = sorted(filter(useful, found), key=lambda w: -mean(w, exams))
        for weights in ranked[:best]:
            show(weights, exams)


def stacked(given: argparse.Namespace, rows: dict[str, list[dict[str, Any]]]) -> None:
    """The default weights and learnt ones, on users whom the latter were not learnt from."""
    card = find(given.adapter).card if given.adapter else None
    print(f"\ndefault  learnt  (from {USERS} users or half of them; means over {DRAWS} draws of these)")
    for name, asked in rows.items():
        domain = Dataset.load(given.data / name.split()[0]).domain
        start = default_weights(card, domain, logs=True)
        if not start.keys() <= asked[0]["parts"].keys():
            continue
        found = [learnt(Parts(asked, new=False), start, draw) for draw in range(DRAWS)]
        default, own = np.mean(found, axis=0)
        print(f"{default:7.3f}  {own:6.3f}  {name}", flush=True)


def learnt(exam: "Parts", start: dict[str, float], draw: int) -> tuple[float, float]:
    """NDCG@10 of the default weights and of those learnt from some users, both on the others."""
    order = np.random.default_rng(draw).permutation(len(exam.targets))
    few, others = np.split(order, [min(USERS, len(order) // 2)])
    values = np.stack([exam.scores[part] for part in start], axis=-1)
    choices = [(values[user], int(exam.targets[user])) for user in few]
    weights = conditional_logit(choices, SCALE * np.array(list(start.values())), STRENGTH)
    own = dict(zip(start, weights.tolist(), strict=True))
    return exam.ndcg(start, others), exam.ndcg(own, others)


def useful(weights: dict[str, float]) -> bool:
    """Whether there is anything in it, and not the same signal twice."""
    return any(weights.values()) and not (weights.get("co-occurrence") and weights.get("item-knn"))


class Parts:
    """One exam: z-scores (users, candidates) of every part, and targets' places.

    As the fusion makes them, but for an encoder with popularity: that is in it here whatever else there is.
    """

    def __init__(self, rows: list[dict[str, Any]], new: bool) -> None:
        self.targets = np.array([row["target"] for row in rows])
        met = np.array([row["met"] for row in rows])
        if new:
            np.put_along_axis(met, self.targets[:, None], False, axis=1)
        scores = {part: np.array([row["parts"][part] for row in rows]) for part in rows[0]["parts"]}
        scores |= {part: informed(scores[part], met) for part in LOGS if part in scores}
        self.scores = {part: z_scores(values) for part, values in scores.items()}

    def ndcg(self, weights: dict[str, float], users: Any = slice(None)) -> float:
        """Mean NDCG@10 of a weighted sum of z-scores, of all users or some; ties count as half above."""
        total = sum(w * self.scores[part] for part, w in weights.items() if w)
        own = np.take_along_axis(total, self.targets[:, None], axis=1)
        place = 1 + (total > own).sum(1) + ((total == own).sum(1) - 1) / 2
        return float(np.where(place <= 10, 1 / np.log2(1 + place), 0.0)[users].mean())


def informed(values: Array, met: Array) -> Array:
    """The mean of the others where nobody has met a candidate; see `FusedRanker`."""
    return np.stack(
        [np.where(m, v, v[m].mean() if m.any() else 0.0) for v, m in zip(values, met, strict=True)]
    )


def z_scores(values: Array) -> Array:
    """Centred and scaled by row; zeros where all are equal."""
    spread = values.std(1, keepdims=True)
    return np.asarray((values - values.mean(1, keepdims=True)) / np.where(spread > 1e-12, spread, np.inf))


def mean(weights: dict[str, float], exams: dict[str, Parts]) -> float:
    """Over all exams alike."""
    return float(np.mean([exam.ndcg(weights) for exam in exams.values()]))


def show(weights: dict[str, float], exams: dict[str, Parts]) -> None:
    """One line: the mean, each exam, what it is of."""
    each = " ".join(f"{exam.ndcg(weights):.3f}" for exam in exams.values())
    said = ", ".join(f"{part} {weight:g}" for part, weight in weights.items() if weight)
    print(f"{mean(weights, exams):.3f}  {each}  {said}", flush=True)


if __name__ == "__main__":
    main()
