"""Choose how the encoder mode scores where its adapter was not trained, on domains that it has not seen.

    LLMREC_PRECISION=bf16 python eval/transfer.py --adapter smollm2-general

NDCG@10 (uniform and popularity-drawn negatives) of states as they are and centred, for several temperatures
of the nearness, and for the best of them the loss (nats a user) of several scales. `--adapter none`: of the
bare model. None of the default sets is one that an adapter is reported on (eval/adaptation.py).
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from llmrec_prompt.adapters import find
from llmrec_prompt.backends import load_backend
from llmrec_prompt.cli.output import progress
from llmrec_prompt.data import Dataset, leave_last_out, sample_candidates
from llmrec_prompt.evaluate.metrics import ndcg
from llmrec_prompt.progress import track
from llmrec_prompt.rank.nearness import nearness
from llmrec_prompt.rank.states import ItemStates
from llmrec_prompt.scorers.embedders import StateEmbedder
from llmrec_prompt.templates import Prompter, load_domain

KINDS = ("uniform", "popular")
NEARS = (0.1, 1.0, 2.0, 5.0, 10.0, 20.0)
SCALES = (2.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0)


def main() -> None:
    """Print a table over temperatures, then one over scales."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", nargs="*", default=["restaurants-mx", "se-quantum", "nemig-de"])
    parser.add_argument("--users", type=int, default=150)
    parser.add_argument("--reach", type=int, help="history items compared; the domain's number by default")
    parser.add_argument("--skip", type=int, default=0, help="users of the seeded order to leave out first")
    parser.add_argument("--model", default="hf:smollm2")
    parser.add_argument("--adapter", default="smollm2-general")
    given = parser.parse_args()
    backend = load_backend(given.model)
    if given.adapter != "none":
        backend.use(str(find(given.adapter).folder))
    with progress():
        questions = {name: list(asked(given, backend, name)) for name in given.sets}
    heads = [f"{name}, {kind}" for name in given.sets for kind in KINDS]
    print_table(heads, [(f"as is, near {t:g}", scores(questions, t, 0)) for t in NEARS], quality)
    centred = [(f"centred, near {t:g}", scores(questions, t, 1)) for t in NEARS]
    print_table(heads, centred, quality)
    chosen = max(centred, key=lambda row: np.mean([np.mean([quality(*q) for q in c]) for c in row[1]]))
    print(f"\nNats a user, {chosen[0]}:")
    scaled = [(f"scale {f:g}", [[(f * s, t) for s, t in cell] for cell in chosen[1]]) for f in SCALES]
    print_table(heads, scaled, nats)


def asked(given: argparse.Namespace, backend: object, name: str) -> Iterator[list[tuple]]:
    """For each kind of negatives, each user's cosines (as they are, centred) and the target's place."""
    dataset = Dataset.load(given.data / name)
    cases = leave_last_out(dataset, users=given.skip + given.users, seed=0).cases[given.skip :]
    train = dataset.without([(case.user_id, case.target) for case in cases])
    prompter = Prompter(load_domain(train.domain), catalogue=train.items)
    both = [ItemStates(StateEmbedder(backend), prompter, train, centred=c).catalogue() for c in (False, True)]
    for kind in KINDS:
        found = []
        for case in track(cases, f"{name}, {kind}", len(cases)):
            ids = sample_candidates(train, case, kind=kind, seed=0)
            own = [train.index[i] for i in case.history[-(given.reach or prompter.domain.history) :]]
            rows = [train.index[i] for i in ids]
            found.append(([states[own] @ states[rows].T for states in both], ids.index(case.target)))
        yield found


def scores(questions: dict[str, list[list[tuple]]], near: float, which: int) -> list[list[tuple]]:
    """Nearness and target of every user, cell by cell."""
    return [
        [(nearness(cosines[which].astype(np.float64), near), target) for cosines, target in cell]
        for cells in questions.values()
        for cell in cells
    ]


def quality(values: np.ndarray, target: int) -> float:
    """NDCG@10."""
    order = [str(i) for i in np.argsort(-values, kind="stable")[:10]]
    return ndcg(order, {str(target)}, k=10)


def nats(values: np.ndarray, target: int) -> float:
    """Cross entropy of the softmax."""
    return float(np.log(np.exp(values - values.max()).sum()) - (values[target] - values.max()))


def print_table(heads: Sequence[str], rows: Sequence[tuple], measure: object) -> None:
    """Markdown, with the mean over all columns at the end."""
    print(f"\n| | {' | '.join(heads)} | mean |\n|---|" + "---|" * (len(heads) + 1))
    for label, cells in rows:
        means = [float(np.mean([measure(*question) for question in cell])) for cell in cells]
        print(f"| {label} | {' | '.join(f'{m:.3f}' for m in [*means, np.mean(means)])} |")


if __name__ == "__main__":
    main()
