"""From the rows of runs over one exam to arrays: one number a user, a few dozen bytes each, no objects."""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrec_prompt.errors import DataError
from llmrec_prompt.evaluate.metrics import METRICS
from llmrec_prompt.evaluate.run import Row, RunDirectory, read_lines
from llmrec_prompt.evaluate.runner import REFUSED

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(slots=True)
class Asked:
    """The users of an exam, in the order of the rows, and what is known of each question."""

    places: dict[str, int] = field(default_factory=dict)
    history: "array[int]" = field(default_factory=lambda: array("q"))
    candidates: "array[int]" = field(default_factory=lambda: array("q"))
    place: "array[int]" = field(default_factory=lambda: array("q"))
    relevant: "array[int]" = field(default_factory=lambda: array("q"))
    popularity: "array[float]" = field(default_factory=lambda: array("d"))
    """How many users of the training logs have the targets, a mean; NaN where the run does not say."""

    def of(self, row: Row, popularity: Mapping[str, float]) -> int:
        """The user's place, a new one at the end."""
        place = self.places.setdefault(row["user"], len(self.places))
        if place == len(self.history):
            self.history.append(row["history"])
            self.candidates.append(row["candidates"] if "candidates" in row else len(row["ids"]))
            self.place.append(row.get("place", 0))
            # What is known of a question must not depend on which ranker's row comes first.
            targets = row.get("targets", [row["target"]])
            counts = [popularity.get(item_id, float("nan")) for item_id in targets]
            self.relevant.append(len(targets))
            self.popularity.append(sum(counts) / len(counts))
        return place


@dataclass(slots=True)
class Answers:
    """What one ranker answered: arrays with an entry for each user who got a ranking."""

    users: "array[int]" = field(default_factory=lambda: array("q"))
    ranks: "array[int]" = field(default_factory=lambda: array("q"))
    values: "dict[str, array[float]]" = field(default_factory=lambda: {m: array("d") for m in METRICS})
    events: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    why: str = ""
    """The first reason for a refusal."""
    paid: int = 0
    """Answers that were computed, not found in the cache; the next two are sums over them."""
    tokens: float = 0.0
    seconds: float = 0.0
    seen: bytearray = field(default_factory=bytearray)
    """1 at the places of users who have a row."""

    def is_new(self, place: int) -> bool:
        """Whether this is the first row of the user at a place; from then on it is not."""
        self.seen.extend(bytes(max(0, place + 1 - len(self.seen))))
        new, self.seen[place] = not self.seen[place], 1
        return new

    def add(self, place: int, row: Row) -> None:
        """Take a row in."""
        self.events.update(row["events"])
        if REFUSED in row["events"] and "ids" not in row:
            self.refused, self.why = self.refused + 1, self.why or row["why"]
            return
        self.users.append(place)
        self.ranks.append(row["target_rank"])
        for metric, values in self.values.items():
            values.append(row["metrics"][metric])
        if not row.get("cached"):
            self.paid, self.tokens = self.paid + 1, self.tokens + row["tokens"]
            self.seconds += row["seconds"]

    @property
    def asked(self) -> int:
        """How many users it was asked for: those answered and those refused."""
        return len(self.users) + self.refused

    def of(self, metric: str) -> Floats:
        """Values of a metric, shape (answered,)."""
        return np.frombuffer(self.values[metric]) if self.users else np.empty(0)

    @property
    def places(self) -> Ints:
        """Places of the users answered, shape (answered,)."""
        return np.frombuffer(self.users, np.int64) if self.users else np.empty(0, np.int64)


@dataclass(slots=True)
class Tally:
    """All that the runs of one exam hold, by the label of a ranker."""

    asked: Asked
    answers: dict[str, Answers]

    def values(self, ranker: str, metric: str) -> dict[str, float]:
        """A ranker's metric by user, of those whom it answered."""
        users, own = list(self.asked.places), self.answers[ranker]
        return {users[place]: value for place, value in zip(own.users, own.values[metric], strict=True)}


def tally(runs: Sequence[tuple[RunDirectory, Mapping[str, str]]]) -> Tally:
    """Read the rows of runs over the same exam, one at a time.

    Args:
        runs: each with the labels of its rankers.

    Raises:
        DataError: a folder is no run, a row is no JSON, or a ranker has two rows of one user.
    """
    asked, answers = Asked(), {label: Answers() for _, labels in runs for label in labels.values()}
    for run, labels in runs:
        known = popularity_of(run)
        for row in run.rows():
            place, own = asked.of(row, known), answers[labels[row["ranker"]]]
            if not own.is_new(place):
                raise DataError(
                    f"{run.rows_path} has two rows of {row['ranker']!r} for user {row['user']!r}, so its "
                    "numbers would be wrong. Run it again with another --out."
                )
            own.add(place, row)
    return Tally(asked, answers)


def unfinished(runs: Iterable[tuple[RunDirectory, Mapping[str, str]]], found: Tally) -> dict[str, Any]:
    """How many users the exam has, and how many each ranker was asked for; empty where all were asked."""
    users = max((users_of_exam(run) for run, _ in runs), default=0)
    asked = {name: own.asked for name, own in found.answers.items()}
    return {"users": users, "asked": asked} if any(count < users for count in asked.values()) else {}


def users_of_exam(run: RunDirectory) -> int:
    """How many users a run asks about, by what was written before the first answer; 0 if it does not say."""
    for name in ("candidates.tsv", "left_out.tsv"):
        if (run.folder / name).exists():
            with (run.folder / name).open("rb") as file:
                return sum(1 for _ in file)
    return 0


def popularity_of(run: RunDirectory) -> dict[str, float]:
    """How many users have each item of the catalogue; empty for a run that does not say."""
    return {line["item_id"]: line["popularity"] for line in read_lines(run.folder / "items.jsonl")}


def costs(runs: Iterable[tuple[RunDirectory, Mapping[str, str]]], found: Tally) -> dict[str, dict[str, Any]]:
    """What each ranker took: means over the answers that were computed, and what preparing took."""
    table = {name: _cost(answers) for name, answers in found.answers.items()}
    for run, labels in runs:
        for line in read_lines(run.folder / "spent.jsonl"):
            cost = table[labels[line["ranker"]]]
            if "build_seconds" in line:
                # Of a run that was stopped the first time counts: later ones find much in the cache.
                cost.setdefault("build_seconds", line["build_seconds"])
                continue
            for what in ("seconds", "tokens"):
                key = f"prepare_{what}"
                cost[key] = round(cost.get(key, 0) + line[what], 4)
            cost["prepared"] = max(cost.get("prepared", 0), line["items"])
    return table


def _cost(answers: Answers) -> dict[str, Any]:
    paid = max(answers.paid, 1)
    return {
        "seconds_per_user": round(answers.seconds / paid, 4),
        "tokens_per_user": round(answers.tokens / paid, 1),
        "computed": answers.paid,
        "from_cache": len(answers.users) - answers.paid,
    }
