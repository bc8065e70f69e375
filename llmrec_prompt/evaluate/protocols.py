"""How an exam is made: a protocol says who is asked what after what, negatives say among what.

Protocols are plain functions of a data set in `PROTOCOLS`; what they do is said in `data.splits`.
"""

import logging
from collections.abc import Callable, Container, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from llmrec_prompt.data import (
    COLD_LENGTHS,
    Case,
    Dataset,
    Split,
    cold_domain,
    cold_item,
    cold_user,
    global_time,
    last_impression,
    leave_last_out,
    mixed,
    read_candidates_file,
    sample_candidates,
    seen,
    with_target,
)
from llmrec_prompt.data.candidates import unmet
from llmrec_prompt.errors import ConfigError, DataError, UnknownName
from llmrec_prompt.evaluate.exam import Answers, Exam, Questions, Ragged, RowLists, Unseen
from llmrec_prompt.evaluate.hard_negatives import HardNegatives
from llmrec_prompt.progress import track

log = logging.getLogger(__name__)
NEGATIVES = ("full", "impressions", "popular", "retrieved", "uniform")
"""Kinds of negatives by name; anything else is the path of a candidates file."""
DRAWN = ("popular", "uniform")
ASKED_FOR = (*DRAWN, "retrieved", "full")
"""Negatives whose number is asked for; lists that are given are as long as they are."""
OWN_TARGET = ("global-time", "cold-item")
"""Protocols whose target is another than that of the last impression."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of whom.

    Raises:
        ConfigError: numbers that cannot be meant, or a history that the protocol cannot have.
        UnknownName: no such protocol.
    """

    protocol: str = "leave-last-out"
    users: int | None = 200
    """How many, by a seeded order; all if None."""
    candidates: int = 20
    """Target and negatives together; `full`, `impressions` and files have their own number."""
    negatives: str = "uniform"
    """One of `NEGATIVES`, or a candidates file."""
    seed: int = 0
    """Of users, negatives and the place of the target."""
    history: int | None = None
    """How many of the latest items a question shows: all if None, and none at all if 0."""

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise UnknownName("protocol", self.protocol, PROTOCOLS)
        if self.candidates < 2 or (self.users is not None and self.users < 1):
            raise ConfigError(
                f"{self.users} users with {self.candidates} candidates cannot be meant: at least 1 and 2."
            )
        if self.history is not None and self.history < 0:
            raise ConfigError(f"A history of {self.history} items cannot be meant: at least 0.")
        if self.negatives == "impressions" and self.protocol in OWN_TARGET:
            raise ConfigError(
                f"Impressions have targets of their own and {self.protocol} has others. Use leave-last-out, "
                "cold-user or cold-domain."
            )
        if self.protocol == "cold-user" and (self.history or 0) > max(COLD_LENGTHS):
            raise ConfigError(
                f"cold-user asks users with at least {max(COLD_LENGTHS)} items, so a history of "
                f"{self.history} would not be the same for all: at most {max(COLD_LENGTHS)}."
            )


def make_exam(dataset: Dataset, ask: Ask) -> Exam:
    """Hold out, draw candidates, and keep both as numbers; the same for the same data and `ask`.

    Raises:
        ConfigError: negatives that are neither a kind nor a file.
        DataError: the data set has no logs, nobody can be asked, or the catalogue is too small.
    """
    if not dataset.has_logs:
        raise DataError(f"{dataset.name} has no interactions, so there is nothing to evaluate on.")
    fixed = None if ask.negatives in NEGATIVES else read_negatives(ask.negatives, dataset)
    return exam_of(PROTOCOLS[ask.protocol](dataset, ask, fixed), ask, fixed)


def exam_of(split: Split, ask: Ask, fixed: dict[str, tuple[str, ...]] | None = None) -> Exam:
    """The exam of a split that is made already; `fixed` are candidates by user, if they are given.

    Raises:
        DataError: nobody can be asked, or the catalogue is too small.
    """
    if not split.cases:
        raise DataError(_nobody(split, ask, fixed))
    facts = {**asdict(ask), "eligible": split.eligible, **split.notes}
    if fixed is not None:
        split, fixed = _answerable(split, fixed, facts)
    candidates = _candidates(split, ask, fixed, facts)
    if ask.negatives not in ASKED_FOR:
        sizes = [len(candidates[place]) for place in range(len(split.cases))]
        facts["sizes"] = [min(sizes), max(sizes)]
    if ask.negatives not in ASKED_FOR or ask.negatives == "full":
        facts["candidates"] = None
    users, items, index = [case.user_id for case in split.cases], split.train.items, split.train.index
    histories = Ragged([index[i] for i in _cut(case.history, ask.history)] for case in split.cases)
    targets = Ragged([index[i] for i in case.relevant] for case in split.cases)
    return Exam(
        split.train, Questions(items, users, histories, candidates), Answers(items, users, targets), facts
    )


def _nobody(split: Split, ask: Ask, fixed: dict[str, tuple[str, ...]] | None) -> str:
    """Why nobody can be asked, in words; of a candidates file, what of it is no user."""
    name = split.train.name
    if fixed is None:
        return f"No user of {name} has a history and candidates to be tested on."
    if not fixed:
        return f"Candidates file {ask.negatives} is empty. Write a line `user<TAB>id id id ...` a user."
    known = {row.user_id for row in (split.known or split.train).interactions}
    foreign = next((user for user in fixed if user not in known), None)
    also = "" if foreign is None else f"; {foreign!r}, for one, is no user of {name}"
    return f"None of the {len(fixed)} users in {ask.negatives} has a history to be tested on{also}."


def read_negatives(negatives: str, dataset: Dataset) -> dict[str, tuple[str, ...]]:
    """Candidates by user from a file.

    Raises:
        ConfigError: there is no such file.
        DataError: a line of it cannot be meant.
    """
    if not Path(negatives).is_file():
        raise ConfigError(
            f"Negatives {negatives!r} are neither {' nor '.join(NEGATIVES)} nor a candidates file."
        )
    return read_candidates_file(negatives, dataset)


def _cut(history: tuple[str, ...], length: int | None) -> tuple[str, ...]:
    return history if length is None else history[len(history) - min(length, len(history)) :]


def _candidates(
    split: Split, ask: Ask, fixed: dict[str, tuple[str, ...]] | None, facts: dict[str, object]
) -> RowLists:
    """Catalogue rows to be ranked, for every case; drawn by the whole history, however much is shown."""
    index, known = split.train.index, split.known or split.train
    if ask.negatives == "full":
        met = (seen(known, case) - case.relevant for case in split.cases)
        return Unseen(len(index), Ragged([index[i] for i in ids] for ids in met))
    draw = _drawer(split, ask, fixed, facts)
    cases = track(split.cases, "Candidates", len(split.cases))
    return Ragged([index[i] for i in draw(case)] for case in cases)


def _drawer(
    split: Split, ask: Ask, fixed: dict[str, tuple[str, ...]] | None, facts: dict[str, object]
) -> Callable[[Case], Iterable[str]]:
    """How the candidates of a case are found."""
    if fixed is not None:
        return lambda case: with_target(fixed[case.user_id], case, seed=ask.seed)
    if ask.negatives == "retrieved":
        return HardNegatives(split, n=ask.candidates, seed=ask.seed, facts=facts)
    if ask.negatives == "impressions":
        return lambda case: mixed((case.target, *case.also, *case.shown), case, "shown", seed=ask.seed)
    kind: Any = ask.negatives  # "popular" or "uniform": nothing else is left
    return lambda case: sample_candidates(split, case, n=ask.candidates, kind=kind, seed=ask.seed)


def _answerable(
    split: Split, fixed: dict[str, tuple[str, ...]], facts: dict[str, object]
) -> tuple[Split, dict[str, tuple[str, ...]]]:
    """Candidates of a file less what users have met, and who has any left; facts count what goes.

    Raises:
        DataError: nobody has.
    """
    known = split.known or split.train
    left = {case.user_id: unmet(fixed[case.user_id], case, known) for case in split.cases}
    cases = tuple(case for case in split.cases if left[case.user_id])
    if not cases:
        user = split.cases[0].user_id
        raise DataError(
            f"User {user!r} has met all {len(fixed[user])} candidates of the file or is asked for them, as "
            "have all others: nothing is left to rank the target among. Give others."
        )
    facts["met_left_out"] = sum(len(fixed[case.user_id]) - len(left[case.user_id]) for case in cases)
    if gone := len(split.cases) - len(cases):
        facts["users_left_out"] = gone
        everybody = len(split.cases)
        log.warning("Not asked: %d of %d users, who have met all their candidates.", gone, everybody)
    return replace(split, cases=cases), left


Among = Container[str] | None
HoldOut = Callable[[Dataset, Ask, Among], Split]


def _last(dataset: Dataset, ask: Ask, among: Among) -> Split:
    return _hold_out(ask)(dataset, users=ask.users, seed=ask.seed, among=among)


def _hold_out(ask: Ask) -> Callable[..., Split]:
    """Who was shown something is asked for what was clicked there."""
    return last_impression if ask.negatives == "impressions" else leave_last_out


def _time(dataset: Dataset, ask: Ask, among: Among) -> Split:
    return global_time(dataset, users=ask.users, seed=ask.seed, among=among)


def _cold_user(dataset: Dataset, ask: Ask, among: Among) -> Split:
    hold_out, longest = _hold_out(ask), max(COLD_LENGTHS)
    return cold_user(hold_out(dataset, users=ask.users, seed=ask.seed, min_history=longest, among=among))


def _cold_item(dataset: Dataset, ask: Ask, among: Among) -> Split:
    return cold_item(dataset, users=ask.users, seed=ask.seed, among=among)


def _cold_domain(dataset: Dataset, ask: Ask, among: Among) -> Split:
    return cold_domain(_last(dataset, ask, among))


PROTOCOLS: dict[str, HoldOut] = {
    "leave-last-out": _last,
    "global-time": _time,
    "cold-user": _cold_user,
    "cold-item": _cold_item,
    "cold-domain": _cold_domain,
}
