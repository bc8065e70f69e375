"""Choose how a mixture of adapters is to rank where none of them was trained, on domains that none has seen.

    python eval/mixture.py --shots 16 64

Equal shares of the movies, shopping and games adapters score the last five items of many users. Then few of
these users are drawn, again and again, to choose how to rank, and all others are judged by it: NDCG@10 of
their last items, mean over uniform and popularity-drawn negatives and over the draws. Nobody beside the drawn
ones counts in popularity. No set here is one that mixtures are reported on.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from llmrec_prompt.adapt.building import autocast, build, exams
from llmrec_prompt.adapt.compose.card import farthest
from llmrec_prompt.adapt.compose.mixture import Mixture, compose, plain_weights
from llmrec_prompt.adapt.recipe import Lora, Recipe, Source, Stage
from llmrec_prompt.adapt.settling import Choice, choose
from llmrec_prompt.adapt.validation import FOCI, QUESTIONS, WEIGHTS, Curves, Task, quality
from llmrec_prompt.adapters import find
from llmrec_prompt.cli.output import progress
from llmrec_prompt.data import Dataset

PARTS = ("smollm2-movies", "smollm2-shopping", "smollm2-games")
VALIDATION = 16
Array = np.ndarray


@dataclass(frozen=True, slots=True)
class Asked:
    """Tasks of users, by kind of candidates, and what either way of ranking scores them."""

    data: Dataset
    owners: Array
    """Ids of users, (tasks,); each one's last item comes first."""
    tasks: dict[str, list[Task]]
    home: dict[float, dict[str, list[Array]]]
    """By multiples of the learnt focus."""
    centred: dict[str, list[Array]]

    def popularity(self, known: Sequence[str], asked: Sequence[str]) -> Array:
        """Log of 1 + how many of those known had each item, less what is asked for."""
        counts = self.data.only(known).popularity().copy()
        kind = next(iter(self.tasks))
        for task, owner in zip(self.tasks[kind], self.owners, strict=True):
            counts[task.target] -= owner in asked
        return np.log1p(counts)

    def curves(self, scores: dict[str, list[Array]], rows: Array, popularity: Array) -> Curves:
        """NDCG@10 of some tasks for each weight of popularity."""
        return {
            kind: {w: self._values(kind, scores[kind], rows, w * popularity) for w in WEIGHTS}
            for kind in self.tasks
        }

    def judged(self, choice: Choice, rows: Array, popularity: Array) -> float:
        """NDCG@10 of some tasks when ranked as was chosen."""
        scores = self.centred if choice.centred else self.home[choice.focus]
        found = [self._values(k, scores[k], rows, w * popularity) for k, w in choice.popularity.items()]
        return float(np.mean(found))

    def _values(self, kind: str, scores: Sequence[Array], rows: Array, bonus: Array) -> Array:
        tasks = self.tasks[kind]
        return np.array([quality(scores[i] + bonus[list(tasks[i].candidates)], tasks[i]) for i in rows])


def main() -> None:
    """Score, draw, print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", nargs="*", default=["restaurants-mx", "se-quantum", "nemig-de"])
    parser.add_argument("--users", type=int, default=250, help="of each set")
    parser.add_argument("--shots", nargs="*", type=int, default=[16], help=f"beside {VALIDATION} others")
    parser.add_argument("--draws", type=int, default=40)
    given = parser.parse_args()
    print("| set | shots | rule | ndcg@10 | drawn users chose the learnt score |\n|---|---|---|---|---|")
    for name in given.sets:
        with progress():
            asked = ask(given.data / name, given.users)
        for shots in given.shots:
            for rule, values, home in compare(asked, shots, given.draws):
                print(f"| {name} | {shots} | {rule} | {np.mean(values):.3f} | {home:.0%} |", flush=True)


@torch.no_grad()
def ask(folder: Path, users: int) -> Asked:
    """Score the tasks of that many users, or of all but one."""
    parents = tuple(find(name) for name in PARTS)
    cards = [parent.card for parent in parents]
    lora = cards[0].lora
    rank = sum(card.lora.r for card in cards)
    data = Dataset.load(folder)
    count = min(users, sum(len(data.history(user)) > 1 for user in data.users) - 1)
    stage = Stage(
        name="asked",
        steps=1,
        sources=(Source(data=str(folder), users=1, test=0, validation=count),),
        history=max(card.history for card in cards),
        reach=farthest(cards) or 0,
    )
    recipe = Recipe(
        base=cards[0].base.ref,
        precision="bf16",
        lora=Lora(r=rank, alpha=rank, targets=lora.targets, layers=len(lora.layers or ()) or None),
        stages=(stage,),
    )
    with tempfile.TemporaryDirectory() as spare:
        shares = Mixture(parents, plain_weights("sum", len(parents), None))
        bench = build(recipe, stage, compose("shares", shares, Path(spare)).folder)
    with autocast(recipe.precision):
        (exam,) = exams(bench.sources, stage, QUESTIONS)
        items = exam.catalogue(bench.course.reader)
        foci = [factor * bench.course.reader.focus for factor in FOCI]
        home = exam.scores(bench.network, bench.course.reader, exam.tasks, items, foci)
    owners = np.array([case.user_id for case in bench.sources[0][0].cases(QUESTIONS)])
    centred = exam.centred_scores(exam.tasks, items)
    return Asked(data, owners, exam.tasks, dict(zip(FOCI, home, strict=True)), centred)


def compare(asked: Asked, shots: int, draws: int) -> Iterator[tuple[str, list[float], float]]:
    """Each rule, what it gave in each draw, and how often it chose the score that was learnt."""
    found: dict[str, list[tuple[float, bool]]] = {}
    users = np.unique(asked.owners)
    if len(users) < 2 * (VALIDATION + shots):
        print(f"{asked.data.name} has too few users for {shots} shots: left out", file=sys.stderr)
        return
    last = np.array([i == 0 or asked.owners[i - 1] != owner for i, owner in enumerate(asked.owners)])
    for seed in range(draws):
        order = np.random.default_rng(seed).permutation(users).tolist()
        judges, known = order[:VALIDATION], order[: VALIDATION + shots]
        rows = np.flatnonzero(~np.isin(asked.owners, known) & last)
        popularity = asked.popularity(known, ())
        for rule, choice in choices(asked, judges, known).items():
            value = asked.judged(choice, rows, popularity)
            found.setdefault(rule, []).append((value, not choice.centred))
    for rule, outcomes in found.items():
        values, home = zip(*outcomes, strict=True)
        yield rule, list(values), float(np.mean(home))


def choices(asked: Asked, judges: Sequence[str], known: Sequence[str]) -> dict[str, Choice]:
    """How to rank by each rule, from the tasks of those who judge or of all who are known, in two groups."""
    others = [user for user in known if user not in judges][: 2 * VALIDATION]
    groups = [(judges, asked.popularity(known, judges)), (others, asked.popularity(known, others))]
    home, alone = [], []
    for group, popularity in groups:
        rows = np.flatnonzero(np.isin(asked.owners, group))
        home.append({f: asked.curves(scores, rows, popularity) for f, scores in asked.home.items()})
        alone.append(asked.curves(asked.centred, rows, popularity))
    return {
        "as elsewhere": Choice(1.0, True, dict.fromkeys(asked.tasks, 0.0)),
        "learnt": choose(home, [worthless(each) for each in alone]),
        "best for validation users": choose(home[:1], alone[:1]),
        "best for these and the others": choose(home, alone),
    }


def worthless(curves: Curves) -> Curves:
    """Never the better choice."""
    return {kind: {w: values - 1 for w, values in curve.items()} for kind, curve in curves.items()}


if __name__ == "__main__":
    main()
