"""Progress of long work: silent in a library, a bar where the command line asks for one."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
Reporter = Callable[[str, int, int], None]
"""(what is being done, steps done, steps in all)."""

_reporter: ContextVar[Reporter | None] = ContextVar("reporter", default=None)


def track(steps: Iterable[T], label: str, total: int) -> Iterator[T]:
    """Yield the steps, telling whoever listens how far it is.

    >>> list(track("ab", "letters", 2))
    ['a', 'b']
    """
    report = _reporter.get() if total else None
    for done, step in enumerate(steps):
        if report:
            report(label, done, total)
        yield step
    if report:
        report(label, total, total)


@contextmanager
def reporting(reporter: Reporter) -> Iterator[None]:
    """Let `reporter` hear of all progress inside the block."""
    token = _reporter.set(reporter)
    try:
        yield
    finally:
        _reporter.reset(token)
