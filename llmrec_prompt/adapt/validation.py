"""How good the encoder is on users it was not trained on, and how much popularity each task wants."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from llmrec_prompt.adapt.encode import Encode, unit
from llmrec_prompt.adapt.histories import Population, Texts
from llmrec_prompt.adapt.network import Network
from llmrec_prompt.adapt.recipe import VALIDATED
from llmrec_prompt.data import sample_candidates
from llmrec_prompt.evaluate.metrics import ndcg
from llmrec_prompt.evaluate.statistics import bootstrap_interval
from llmrec_prompt.progress import track
from llmrec_prompt.rank.encoder import ELSEWHERE_NEAR, ELSEWHERE_SCALE
from llmrec_prompt.rank.nearness import nearness
from llmrec_prompt.rank.states import centre_rows
from llmrec_prompt.scorers.embedders import unit_rows

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
"""What log-popularity may weigh. 1 is what the training objective takes out."""
FOCI = (1.0, 1.5, 2.0, 3.0)
"""What the learnt `focus` may be multiplied with."""
QUESTIONS = 5
"""Of each user, where focus and weights are chosen: the last item alone is too noisy for that."""
KINDS = ("uniform", "popular")
BATCH = 16
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Task:
    """One user to be served: history, candidates and target as catalogue rows."""

    history: tuple[int, ...]
    candidates: tuple[int, ...]
    target: int


Tasks = dict[str, list[Task]]
"""By kind of candidates."""
Scores = dict[str, list[Array]]
"""What each task's candidates are worth, (candidates,), by kind of candidates."""
Curves = dict[str, dict[float, Array]]
"""NDCG@10 of each task, (tasks,), by kind of candidates and weight of log-popularity."""


class Validation:
    """The validation users of one source, each with uniform and with popularity-drawn candidates.

    Args:
        population: whose users they are.
        texts: renders what they had.
        source: which of the stage's sources that is.
        shown: history items of a prompt.
        reach: history items of nearness.
        questions: so many of each user's last items are asked for, each after what came before it.
    """

    def __init__(
        self,
        population: Population,
        texts: Texts,
        *,
        source: int,
        shown: int,
        reach: int = 0,
        questions: int = 1,
    ) -> None:
        self.name = population.dataset.name
        self._label = f"Reading items of {self.name}"
        self._texts, self.source, self._shown = texts, source, shown
        self._reach = max(shown, reach)
        self._everything = tuple(range(len(population.dataset.items)))
        self._centre = centre_rows(population.dataset.items)
        index, cases = population.dataset.index, population.cases(questions)
        known = population.dataset.only([*population.users, *population.validation])
        logs = known.without([(case.user_id, case.target) for case in cases])
        self._popularity = np.log1p(logs.popularity())
        self.tasks: Tasks = {}
        for kind in KINDS:
            lists = [sample_candidates(logs, case, n=VALIDATED, kind=kind, seed=0) for case in cases]  # type: ignore[arg-type]
            self.tasks[kind] = [
                Task(tuple(index[i] for i in case.history), tuple(index[i] for i in ids), index[case.target])
                for case, ids in zip(cases, lists, strict=True)
            ]

    def catalogue(self, encode: Encode) -> Array:
        """The state of every item as the weights are now: (items, d). It takes minutes: read it once."""
        return self._read(encode, self._everything)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def curves(self, network: Network, encode: Encode, catalogue: Array | None = None) -> Curves:
        """NDCG@10 for each kind of candidates and each weight of log-popularity.

        Args:
            network: as trained so far.
            encode: reads the items with it.
            catalogue: the states of all items, to rank the whole catalogue too, less what the user has.
        """
        tasks = {**self.tasks, **({} if catalogue is None else {"catalogue": self._whole()})}
        items = self._read(encode, self._named()) if catalogue is None else catalogue
        return self._curves(tasks, self.scores(network, encode, tasks, items, [encode.focus])[0])

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def by_focus(self, network: Network, encode: Encode, catalogue: Array) -> dict[float, Curves]:
        """The curves, the whole catalogue's too, for multiples of the learnt `focus`."""
        tasks = {**self.tasks, "catalogue": self._whole()}
        foci = [factor * encode.focus for factor in FOCI]
        scores = self.scores(network, encode, tasks, catalogue, foci)
        return {factor: self._curves(tasks, found) for factor, found in zip(FOCI, scores, strict=True)}

    def centred(self, catalogue: Array) -> Curves:
        """The curves of the score of a domain that nobody was trained in: centred item states alone."""
        tasks = {**self.tasks, "catalogue": self._whole()}
        return self._curves(tasks, self.centred_scores(tasks, catalogue))

    def scores(
        self, network: Network, encode: Encode, every: Tasks, items: Array, foci: Sequence[float]
    ) -> list[Scores]:
        """For each focus, by kind, the scores of each task's candidates without popularity."""
        users = self._users(network)
        found: list[Scores] = [{kind: [] for kind in every} for _ in foci]
        for kind, tasks in every.items():
            pairs = zip(tasks, users, strict=True)
            for task, user in track(pairs, f"Ranking for validation users of {self.name}", len(tasks)):
                candidates = items[list(task.candidates)]
                own = items[list(self._seen(task))] @ candidates.T
                for focus, scores in zip(foci, found, strict=True):
                    near = encode.near * nearness(own, focus)
                    scores[kind].append(encode.scale * (candidates @ user) + near)
        return found

    def centred_scores(self, every: Tasks, catalogue: Array) -> Scores:
        """By kind, what centred item states give each task's candidates."""
        items = np.asarray(unit_rows(catalogue - catalogue[self._centre].mean(0)), np.float64)
        scores: Scores = {kind: [] for kind in every}
        for kind, tasks in every.items():
            for task in tasks:
                own = items[list(task.history[-self._shown :])] @ items[list(task.candidates)].T
                scores[kind].append(ELSEWHERE_SCALE * nearness(own, ELSEWHERE_NEAR))
        return scores

    def _read(self, encode: Encode, rows: Sequence[int]) -> Array:
        """States at the places of their rows: (items, d), zeros where nothing was read."""
        states = encode.read(self.source, rows, self._label).cpu().numpy()
        items = np.zeros((len(self._everything), states.shape[1]), states.dtype)
        items[list(rows)] = states
        return items

    def _named(self) -> list[int]:
        """Rows that a task shows or asks for."""
        rows = {row for tasks in self.tasks.values() for task in tasks for row in task.candidates}
        return sorted(rows.union(*(self._seen(task) for task in self.tasks["uniform"])))

    def _curves(self, every: Tasks, scores: Scores) -> Curves:
        return {
            kind: {w: self._values(tasks, scores[kind], w) for w in WEIGHTS} for kind, tasks in every.items()
        }

    def _seen(self, task: Task) -> tuple[int, ...]:
        """What nearness looks at."""
        return task.history[-self._reach :]

    def _whole(self) -> list[Task]:
        return [
            Task(t.history, tuple(sorted({*self._everything} - {*t.history} | {t.target})), t.target)
            for t in self.tasks["uniform"]
        ]

    def _users(self, network: Network) -> Array:
        prompts = [self._texts.history(task.history[-self._shown :])[0] for task in self.tasks["uniform"]]
        parts = [prompts[begin : begin + BATCH] for begin in range(0, len(prompts), BATCH)]
        states = [
            unit(network.ends(part)).cpu().numpy()
            for part in track(parts, f"Reading histories of {self.name}", len(parts))
        ]
        return np.concatenate(states)

    def _values(self, tasks: Sequence[Task], scores: Sequence[Array], weight: float) -> Array:
        return np.array(
            [
                quality(own + weight * self._popularity[list(task.candidates)], task)
                for task, own in zip(tasks, scores, strict=True)
            ]
        )


def quality(scores: Array, task: Task) -> float:
    """NDCG@10 of one user."""
    order = [str(task.candidates[i]) for i in np.argsort(-scores, kind="stable")[:10]]
    return ndcg(order, {str(task.target)}, k=10)


def best_weight(curve: dict[float, Array]) -> float:
    """The weight with the highest mean; the smallest of equals."""
    return max(sorted(curve), key=lambda weight: float(curve[weight].mean()))


def by_user(curves: Curves) -> dict[str, Array]:
    """NDCG@10 of each task, (tasks,), for each kind of candidates at its best weight, and over the kinds."""
    values = {f"ndcg@10 {kind}": curve[best_weight(curve)] for kind, curve in curves.items()}
    return {**values, "ndcg@10": np.mean([values[f"ndcg@10 {kind}"] for kind in KINDS], axis=0)}


def summary(curves: Curves) -> dict[str, float]:
    """The means of `by_user`; that over the kinds picks checkpoints."""
    return {name: float(values.mean()) for name, values in by_user(curves).items()}


def reported(exams: Sequence[Validation], curves: Sequence[Curves]) -> dict[str, Any]:
    """What a card says of validation: the mean over the sources, each one's own where there are several.

    `interval` holds 95 % bootstrap intervals over the users of each source: who happened to be a validation
    user moves the numbers by so much, so two trainings within it are not told apart.
    """
    if not curves:
        return {}
    pairs = list(zip(exams, curves, strict=True))
    each = {exam.name: {k: round(v, 4) for k, v in summary(c).items()} for exam, c in pairs}
    names = next(iter(each.values()))
    mean = {name: round(sum(row[name] for row in each.values()) / len(each), 4) for name in names}
    intervals = {exam.name: {k: _bounds(v) for k, v in by_user(c).items()} for exam, c in pairs}
    return {"validation": mean, **({"by source": each} if len(each) > 1 else {}), "interval": intervals}


def _bounds(values: Array) -> list[float]:
    found = bootstrap_interval(values)
    return [round(found.low, 4), round(found.high, 4)]
