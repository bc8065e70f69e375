"""How good the scorers without a language model are, each fitted on users that are not tested.

    python eval/bench/networks.py --data ../shared/data
    python eval/bench/networks.py --validation 300 --scorers sasrec --settings '{"dropout": 0.3}'

The first 200 users of the seeded order are tested and left out of the logs altogether. With --validation N
the next N users are asked in their place, and neither they nor the 200 are in the logs: that is where
settings are chosen. `last` asks for the last item among the whole catalogue, `last ten` for each of the last
ten given what came before it, `uniform` and `popular` for the last among 19 drawn items. Consumed items are
not ranked, and ties count as half above. Prints Markdown.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from llmrec_prompt.cli.output import progress
from llmrec_prompt.data import Case, Dataset, Split, leave_last_out, sample_candidates
from llmrec_prompt.evaluate.statistics import bootstrap_interval
from llmrec_prompt.scorers import Ingredients, Scorer, build_scorer
from llmrec_prompt.templates import Prompter, load_domain

TESTED, CANDIDATES, CUTOFF = 200, 20, 10
SCORERS = ("random", "popularity", "co-occurrence", "item-knn", "lstm", "sasrec")
COLUMNS = ("last", "last ten", "uniform", "popular")


def main() -> None:
    """One table a data set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    parser.add_argument("--sets", nargs="*", default=["movielens-small", "online-retail", "ifdb"])
    parser.add_argument("--scorers", nargs="*", default=list(SCORERS))
    parser.add_argument("--shots", type=int, help="fit on so many users only")
    parser.add_argument("--validation", type=int, default=0, help="ask so many validation users instead")
    parser.add_argument("--settings", type=json.loads, default={}, help="of the networks, as JSON")
    parser.add_argument("--seed", type=int, default=0, help="of the networks")
    given = parser.parse_args()
    for name in given.sets:
        print_table(Dataset.load(given.data / name), given)


def print_table(dataset: Dataset, given: argparse.Namespace) -> None:
    """Fit every scorer on the same logs and print what each gives, in the order asked for."""
    split = leave_last_out(dataset, users=TESTED + given.validation, seed=0)
    cases = split.cases[TESTED:] if given.validation else split.cases
    out = {case.user_id for case in split.cases}
    train = dataset.only([user for user in dataset.users if user not in out][: given.shots])
    asked = f"{len(cases)} {'validation' if given.validation else 'test'} users"
    print(f"\n## {dataset.name}: fitted on {len(train.users)} users, {asked}\n")
    names = [f"{metric}@10 {column}" for metric in ("ndcg", "hr") for column in COLUMNS]
    print(f"| scorer | {' | '.join(names)} | fitted in |\n|---|{'---|' * (len(names) + 1)}", flush=True)
    for name in given.scorers:
        start = time.perf_counter()
        with progress():
            scorer = fit(name, train, given)
        seconds = time.perf_counter() - start
        ranks = {column: [r for r in ask(scorer, split, cases, column)] for column in COLUMNS}
        cells = [cell(ranks[column]) for column in COLUMNS]
        cells += [f"{np.mean([hits(r).mean() for r in ranks[column]]):.3f}" for column in COLUMNS]
        print(f"| {name} | {' | '.join(cells)} | {seconds:.1f} s |", flush=True)
        if name in ("lstm", "sasrec"):
            print(f"<!-- {name}: {json.dumps(dict(scorer.settings))} -->", flush=True)


def fit(name: str, train: Dataset, given: argparse.Namespace) -> Scorer:
    """A scorer by name; the networks with the settings asked for."""
    if name not in ("lstm", "sasrec"):
        return build_scorer(name, Ingredients(train, Prompter(load_domain(train.domain))))
    from llmrec_prompt.scorers.lstm import LstmScorer, LstmShape
    from llmrec_prompt.scorers.sasrec import SasrecScorer, SasrecShape
    from llmrec_prompt.scorers.sequence_training import Plan

    scorer, shape = {"lstm": (LstmScorer, LstmShape), "sasrec": (SasrecScorer, SasrecShape)}[name]
    made = [
        kind(**{f.name: given.settings[f.name] for f in fields(kind) if f.name in given.settings})
        for kind in (shape, Plan)
    ]
    unknown = given.settings.keys() - {key for one in made for key in asdict(one)}
    if unknown:
        raise SystemExit(f"{name} has no setting {sorted(unknown)}.")
    return scorer(train, shape=made[0], plan=made[1], seed=given.seed)


def ask(scorer: Scorer, split: Split, cases: tuple[Case, ...], column: str) -> Iterator[np.ndarray]:
    """Ranks of the wanted items, one array a user."""
    for case in cases:
        liked = (*case.history, case.target)
        count = min(10, len(liked) - 1) if column == "last ten" else 1
        places = range(len(liked) - count, len(liked))
        yield np.array([rank(scorer, split, case, column, at) for at in places])


def rank(scorer: Scorer, split: Split, case: Case, column: str, at: int) -> float:
    """The place of liked item number `at` among a column's candidates; a tie counts as half above."""
    train, liked = split.train, (*case.history, case.target)
    scores = scorer.score([train.item(item_id) for item_id in liked[:at]])
    if column in ("uniform", "popular"):
        rows = train.item_rows(sample_candidates(split, case, n=CANDIDATES, kind=column, seed=0))
    else:
        ranked = np.ones(len(scores), dtype=bool)
        ranked[train.item_rows(train.consumed(case.user_id) - set(liked[at:]))] = False
        rows = np.flatnonzero(ranked)
    own, others = scores[train.index[liked[at]]], scores[rows]
    return float(1 + (others > own).sum() + ((others == own).sum() - 1) / 2)


def hits(ranks: np.ndarray) -> np.ndarray:
    """Which ranks are within the cut-off."""
    return ranks <= CUTOFF


def cell(ranks: list[np.ndarray]) -> str:
    """Mean NDCG@10 over users, with its 95 % bootstrap interval."""
    found = bootstrap_interval([np.where(hits(r), 1 / np.log2(1 + r), 0.0).mean() for r in ranks])
    return f"{found.mean:.3f} ({found.low:.3f}-{found.high:.3f})"


if __name__ == "__main__":
    main()
