"""Ask every ranker every question and write a row for each answer. Nothing is held but the question at hand.

The rows of a run are in one order: question by question, and for each the rankers in the order they were
named. A run that was stopped is therefore a beginning of the whole, and goes on after it.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from llmrec_prompt.errors import ConfigError, ContextOverflow, DataError
from llmrec_prompt.evaluate.exam import Exam, Question
from llmrec_prompt.evaluate.metrics import METRICS, compute
from llmrec_prompt.evaluate.run import Row, RunDirectory, append_line
from llmrec_prompt.progress import track
from llmrec_prompt.rank import Order, Ranker, Request, ScorerRanker, in_order, put_in_order
from llmrec_prompt.rank.base import tokens_of
from llmrec_prompt.types import Item

KEPT = 100
"""A row keeps so many of the ranked ids: enough for every cut, and a catalogue does not fill the disk."""
REFUSED = "refused"
"""The event of a question that a ranker cannot answer, such as one with an empty history."""


def run_exam(
    exam: Exam, rankers: Mapping[str, Ranker], run: RunDirectory, *, seed: int, workers: int = 1
) -> None:
    """Write a row for every question and ranker that has none yet.

    A ranker that refuses a question (DataError, or a prompt that no context holds) gets a row without a
    ranking and the event `refused`; the others go on.

    Args:
        exam: the questions.
        rankers: by name.
        run: where rows go.
        seed: of ties.
        workers: how many questions are under way at once; rows come in the same order.

    Raises:
        ConfigError: the rows that are there are not the beginning of this run, or another process is
            writing to it.
    """
    with run.locked():
        run.mend()
        _ask_rest(exam, rankers, run, seed=seed, workers=workers)


def _ask_rest(
    exam: Exam, rankers: Mapping[str, Ranker], run: RunDirectory, *, seed: int, workers: int
) -> None:
    todo = unanswered(exam, list(rankers), run)
    first = next(todo, None)
    if first is None:
        return
    prepare(exam, rankers, run)
    done = exam.questions.users.index(first[0].user) * len(rankers) + list(rankers).index(first[1])
    total = len(exam.questions) * len(rankers) - done

    def ask(pair: tuple[Question, str]) -> Row:
        question, name = pair
        return row_of(name, rankers[name], question, exam.targets[question.user], seed)

    for row in track(in_order(ask, chain([first], todo), workers), "Questions", total):
        run.append(row)


def unanswered(exam: Exam, names: Sequence[str], run: RunDirectory) -> Iterator[tuple[Question, str]]:
    """Questions and rankers without a row, in the order of rows; rows that are there are checked against it.

    Raises:
        ConfigError: a row is not where it should be.
    """
    rows = run.rows()
    for user, question in zip(exam.questions.users, exam.questions, strict=True):
        for name in names:
            row = next(rows, None)
            if row is None:
                yield question, name
            elif (row["user"], row["ranker"]) != (user, name):
                raise ConfigError(
                    f"{run.rows_path} has {row['ranker']!r} for user {row['user']!r} where {name!r} for "
                    f"{user!r} belongs, so it is of another run. Choose another --out."
                )


def prepare(exam: Exam, rankers: Mapping[str, Ranker], run: RunDirectory) -> None:
    """Let rankers with a model do ahead what depends on no history, and note what it took."""
    preparing = {n: r for n, r in rankers.items() if not isinstance(r, ScorerRanker)}
    items = exam.questions.candidate_items() if preparing else []
    for name, ranker in preparing.items():
        append_line(run.folder / "spent.jsonl", {"ranker": name, **prepare_one(ranker, items)})


def prepare_one(ranker: Ranker, items: Sequence[Item]) -> dict[str, Any]:
    """Prepare a ranker for some items; what that took."""
    start, before = time.monotonic(), tokens_of(ranker)[0]
    ranker.prepare(items)
    seconds = round(time.monotonic() - start, 4)
    return {"items": len(items), "tokens": tokens_of(ranker)[0] - before, "seconds": seconds}


def row_of(name: str, ranker: Ranker, question: Question, relevant: frozenset[str], seed: int) -> Row:
    """A ranker's answer, or its refusal, held against what is right."""
    try:
        order = answer(ranker, question, seed)
    except (DataError, ContextOverflow) as error:
        return refusal(name, question, relevant, str(error))
    row = grade(name, question, order, relevant)
    if order.provenance.settings.get("cached"):
        row["cached"] = True
    return row


def answer(ranker: Ranker, question: Question, seed: int) -> Order:
    """The order of the candidates; the ranker sees the question and nothing else."""
    request = Request(user=question.user, seed=seed)
    return put_in_order(ranker, question.history, question.candidates, request)


def grade(name: str, question: Question, order: Order, relevant: frozenset[str]) -> Row:
    """Hold an order against what is right; `target` is the one of it that is ranked best."""
    origin, ids = order.provenance, order.ids
    place = {item_id: rank for rank, item_id in enumerate(ids, start=1)}
    target = min(relevant, key=place.__getitem__)
    return {
        **_asked(name, question, relevant, target),
        "ids": list(ids[:KEPT]),
        "target_rank": place[target],
        "metrics": compute(ids, relevant, list(METRICS)),
        "events": dict(origin.events),
        "tokens": origin.tokens_evaluated,
        "seconds": origin.seconds,
    }


def refusal(name: str, question: Question, relevant: frozenset[str], why: str) -> Row:
    """A row without a ranking: nothing is scored, the event is counted."""
    events = {REFUSED: 1}
    return {**_asked(name, question, relevant, min(relevant)), "events": events, "why": why}


def _asked(name: str, question: Question, relevant: frozenset[str], target: str) -> Row:
    """What the question was; `place` is where the one target stood among the candidates, from 1."""
    given = [item.item_id for item in question.candidates]
    return {
        "user": question.user,
        "ranker": name,
        "history": len(question.history),
        "candidates": len(given),
        "target": target,
        **({"targets": sorted(relevant)} if len(relevant) > 1 else {"place": given.index(target) + 1}),
    }
