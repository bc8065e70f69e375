"""What people and programs see: tables, JSON, progress bars."""

import codecs
import json
import logging
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from llmrec_prompt.data import TitleMatch
from llmrec_prompt.progress import reporting
from llmrec_prompt.types import Ranking

AT_ONCE_S = 0.1
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, but for tab and line feed, and those that turn the direction of what follows."""


def plain(text: str) -> str:
    r"""Text that a terminal shows and does not obey.

    >>> plain("\x1b[31mAlien")
    '\ufffd[31mAlien'
    """
    return UNSEEN.sub("\ufffd", text)


class PlainLog(logging.Formatter):
    """A message in one line that a terminal shows and does not obey, whoever gave its words."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The message alone."""
        return _cell(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """The message, and with `--debug` perhaps a traceback under it."""
        return plain(super().format(record))


class Terminal(Console):
    """Prints text as it stands, whoever wrote it: no markup, highlights, emoji, control characters."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def print(self, *objects: Any, **options: Any) -> None:
        """As of any console."""
        super().print(*[plain(one) if isinstance(one, str) else one for one in objects], **options)


console = Terminal()
errors = Terminal(stderr=True)


def remark(text: str) -> None:
    """What a careful reader should know of a result, on stderr."""
    errors.print(text, style="dim", soft_wrap=True)


def accept_all_characters() -> None:
    """Escape what stdout and stderr cannot encode, such as titles in Chinese on a Latin-1 terminal."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def print_json(value: Any) -> None:
    """One JSON document on stdout, nothing else; its own escapes where stdout is not in UTF-8."""
    plain = codecs.lookup(sys.stdout.encoding or "utf-8").name != "utf-8"
    sys.stdout.write(json.dumps(value, ensure_ascii=plain, indent=2) + "\n")


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str = "") -> None:
    """A table for people; numbers to the right."""
    shape: dict[str, Any] = {"title_justify": "left", "header_style": "bold", "box": None, "pad_edge": False}
    table = Table(title=_cell(title) or None, **shape)
    for i, column in enumerate(columns):
        numeric = all(isinstance(row[i], int | float) for row in rows) and bool(rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row))
    console.print(table)


def _cell(value: Any) -> str:
    """A value in one line: a title with a line end would look like two rows."""
    return f"{value:.3f}" if isinstance(value, float) else plain(str(value)).replace("\n", " ")


def print_ranking(ranking: Ranking, *, as_json: bool) -> None:
    """The recommendations, and for people what a careful reader must know about them."""
    if as_json:
        print_json(ranking.model_dump(mode="json"))
        return
    lines = ranking.recommendations
    explained = any(line.reasons for line in lines)
    columns = ["rank", "title", "score", "probability", *(["because of"] if explained else [])]
    titles = told_apart([(line.title, line.item_id) for line in lines])
    rows = [
        [r.rank, title, r.score, r.probability, *(["; ".join(r.reasons)] if explained else [])]
        for r, title in zip(lines, titles, strict=True)
    ]
    print_rows(columns, rows)
    origin = ranking.provenance
    parts = ", ".join(f"{part} {weight:.3g}" for part, weight in _shown_weights(origin.settings).items())
    reader = origin.model or _embedder(origin.settings) or "no language model"
    remark(
        f"mode {origin.mode}{f' ({parts})' if parts else ''}, {reader}, "
        f"{origin.candidates} candidates, {origin.tokens_evaluated} tokens, {origin.seconds:.1f} s"
    )
    print_events(origin.events)


def told_apart(named: Sequence[tuple[str, str]]) -> list[str]:
    """Titles of (title, id) pairs, with the id where two of them would look the same.

    >>> told_apart([("Emma", "1"), ("Dune", "2"), ("Emma", "3")])
    ['Emma [1]', 'Dune', 'Emma [3]']
    """
    often = Counter(_cell(title) for title, _ in named)
    return [f"{title} [{item_id}]" if often[_cell(title)] > 1 else title for title, item_id in named]


def _embedder(settings: Mapping[str, Any]) -> str:
    """What read the items' texts where no prompt was read: another model, or the language model's states."""
    for part in (settings, *settings.values()):
        if isinstance(part, Mapping) and "embedder" in part:
            return f"embedder {part['embedder']}"
    return ""


def _shown_weights(settings: Mapping[str, Any]) -> dict[str, float]:
    return {name: s["weight"] for name, s in settings.items() if isinstance(s, Mapping) and "weight" in s}


def counted(events: Mapping[str, int]) -> str:
    """Events and how often each happened, in one line."""
    return ", ".join(f"{name} {count}" for name, count in events.items())


def print_events(events: Mapping[str, int]) -> None:
    """Counted events as one warning."""
    if events:
        errors.print(f"Note: {counted(events)}", style="yellow")


def print_matches(matches: Sequence[TitleMatch]) -> None:
    """What each typed title was taken for."""
    for match in matches:
        if match.item is None:
            near = f"nearest: {_cell(match.nearest.title)}, {match.score:.0f} %"
            text = f"{match.text!r} is not in the catalogue ({near}); used as typed"
        else:
            found = _cell(f"{match.item.title} [{match.item.item_id}]")
            text = f"{match.text!r} is {found} ({match.score:.0f} %)"
        errors.print(text, style="dim" if match.item else "yellow")


@contextmanager
def progress() -> Iterator[None]:
    """Show progress of whatever runs inside: a bar on a terminal, a line every ten seconds elsewhere."""
    if errors.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f}%"))
        with Progress(*columns, TimeRemainingColumn(), console=errors, transient=True) as bar:
            tasks: dict[str, TaskID] = {}
            with reporting(lambda label, done, total: _update(bar, tasks, label, done, total)):
                yield
    else:
        paces: dict[str, Pace] = {}
        with reporting(lambda label, done, total: tell(paces, label, done, total, now=time.monotonic())):
            yield


def _update(bar: Progress, tasks: dict[str, TaskID], label: str, done: int, total: int) -> None:
    if label not in tasks:
        tasks[label] = bar.add_task(label, total=total)
    elif done == 0:
        bar.reset(tasks[label], total=total)
    bar.update(tasks[label], completed=done, total=total, visible=done < total)


@dataclass(slots=True)
class Pace:
    """Since when and from where on something goes, and when that was last told."""

    begun: float
    first: int
    told: float


def tell(paces: dict[str, Pace], label: str, done: int, total: int, *, now: float) -> None:
    """How far it is at a time in seconds, and by the pace since it began how long it will take."""
    pace = paces.get(label)
    if pace is None or done == 0:
        pace = paces[label] = Pace(now, done, now)
    if now - pace.begun < AT_ONCE_S:
        pace.first = done  # resumed work counts up to where it was in no time
    if now - pace.told >= 10:
        pace.told, own = now, done - pace.first
        left = f", about {duration((now - pace.begun) / own * (total - done))} left" if own else ""
        errors.print(f"{label}: {done} of {total}{left}")


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(4), duration(150), duration(9000)
    ('4 s', '2.5 min', '2.5 h')
    """
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
