"""What users were shown, and what of it they took, read one at a time. Knows no rules of taste."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmrec_prompt.data.files import parse_json, read_lines
from llmrec_prompt.errors import DataError


@dataclass(frozen=True, slots=True)
class Impression:
    """A user with `history` was `shown` items and `clicked` some of them; all are item ids."""

    user_id: str
    shown: tuple[str, ...]
    clicked: tuple[str, ...]
    history: tuple[str, ...] | None = None
    """What the user had by then, oldest first; None where the file does not say."""
    timestamp: float | None = None


Impressions = Callable[[], Iterable[Impression]]
"""Reads the impressions of a data set, from the first, whenever called: they may be too many to hold."""


def read_impressions(path: Path) -> Iterator[Impression]:
    """impressions.jsonl: {"user_id", "candidates", "clicked"} and, if known, "history" and "timestamp".

    Raises:
        DataError: a line that cannot be meant; names it.
    """
    for number, line in read_lines(path):
        try:
            yield _impression(parse_json(line))
        except (ValueError, KeyError, TypeError, OverflowError) as exc:
            raise DataError(
                f'{path}, line {number}: expected JSON with "user_id", "candidates" and "clicked", ids in '
                f"lists; found {line[:60]!r}."
            ) from exc


def _impression(row: Mapping[str, Any]) -> Impression:
    shown, clicked = (_ids(row[key]) for key in ("candidates", "clicked"))
    history, time = row.get("history"), row.get("timestamp")
    return Impression(
        str(row["user_id"]),
        shown,
        clicked,
        None if history is None else _ids(history),
        None if time is None else float(time),
    )


def _ids(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return tuple(map(str, value))


def impression_row(impression: Impression) -> dict[str, Any]:
    """The JSON of an impression, as `read_impressions` reads it."""
    row = {
        "user_id": impression.user_id,
        "history": impression.history,
        "candidates": impression.shown,
        "clicked": impression.clicked,
        "timestamp": impression.timestamp,
    }
    return {key: value for key, value in row.items() if value is not None}
