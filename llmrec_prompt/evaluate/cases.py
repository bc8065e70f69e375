"""What is asked in an evaluation, with the answers kept apart from the questions."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from llmrec_prompt.data import (
    Case,
    Dataset,
    leave_last_out,
    read_candidates_file,
    sample_candidates,
    with_target,
)
from llmrec_prompt.errors import ConfigError, DataError
from llmrec_prompt.types import Item

KINDS = ("popular", "uniform")


@dataclass(frozen=True, slots=True)
class Question:
    """All a ranker is given: it has no field that could hold the target."""

    user: str
    history: tuple[Item, ...]
    candidates: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Exam:
    """Questions, their answers, and the logs a scorer may be fitted on (no target is among them)."""

    train: Dataset
    questions: tuple[Question, ...]
    targets: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """16 hex digits over users, histories, candidates (in order) and targets."""
        digest = hashlib.sha256()
        for q in self.questions:
            ids = [[i.item_id for i in q.history], [i.item_id for i in q.candidates], self.targets[q.user]]
            digest.update(json.dumps([q.user, ids]).encode())
        return digest.hexdigest()[:16]


def leave_last_out_exam(
    dataset: Dataset, *, users: int | None, candidates: int, negatives: str, seed: int
) -> Exam:
    """Leave-last-out by time: the last liked item of each sampled user is the target.

    Args:
        dataset: with logs.
        users: how many, by a seeded order; all if None.
        candidates: target and negatives together.
        negatives: `uniform`, `popular`, or a candidates file (then `candidates` is not used).
        seed: of users, negatives and the place of the target.

    Raises:
        ConfigError: numbers or names that cannot be meant.
        DataError: no user has enough history, or the catalogue is too small.
    """
    if candidates < 2 or (users is not None and users < 1):
        raise ConfigError(f"{users} users with {candidates} candidates cannot be meant: at least 1 and 2.")
    if not dataset.has_logs:
        raise DataError(f"{dataset.name} has no interactions, so there is nothing to evaluate on.")
    fixed = None if negatives in KINDS else _read(negatives, dataset)
    split = leave_last_out(dataset, users=None if fixed else users, seed=seed)
    cases = [c for c in split.cases if fixed is None or c.user_id in fixed][:users]
    if not cases:
        raise DataError(f"No user of {dataset.name} has a history and candidates to be tested on.")
    train = dataset.without([(c.user_id, c.target) for c in cases])
    questions = []
    for case in cases:
        ids = (
            with_target(fixed[case.user_id], case, seed=seed)
            if fixed
            else sample_candidates(train, case, n=candidates, kind=negatives, seed=seed)  # type: ignore[arg-type]
        )
        questions.append(_question(train, case, ids))
    return Exam(train, tuple(questions), {c.user_id: c.target for c in cases})


def _read(negatives: str, dataset: Dataset) -> dict[str, tuple[str, ...]]:
    if not Path(negatives).is_file():
        raise ConfigError(f"Negatives {negatives!r} are neither {' nor '.join(KINDS)} nor a candidates file.")
    return read_candidates_file(negatives, dataset)


def _question(train: Dataset, case: Case, ids: tuple[str, ...]) -> Question:
    history = tuple(train.item(i) for i in case.history)
    return Question(case.user_id, history, tuple(train.item(i) for i in ids))
