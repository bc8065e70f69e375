"""Many rankings at once, for a backend that waits for a server most of the time."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TypeVar

from llmrec_prompt.rank.base import Ranker, Request
from llmrec_prompt.rank.order import rank
from llmrec_prompt.types import Candidates, History, Ranking

A = TypeVar("A")
B = TypeVar("B")


def rank_many(
    ranker: Ranker, asked: Iterable[tuple[History, Candidates, Request]], *, workers: int
) -> Iterator[Ranking]:
    """Rank for many users, `workers` at a time; answers come in the order asked.

    Worth it for rankers of a hosted model (`backend.info.at_once` says how many it takes); who shares a local
    model waits for a turn.

    Raises:
        LlmrecError: as `rank` does, at the place of the user whose ranking failed.
    """
    return in_order(lambda question: rank(ranker, *question), asked, workers)


def in_order(work: Callable[[A], B], asked: Iterable[A], workers: int) -> Iterator[B]:
    """Results of some work, `workers` at a time, in the order asked; what is asked is taken as needed.

    Threads are daemons: who waits for a server, for a day perhaps, shall not keep a program from ending.
    """
    if workers == 1:
        yield from map(work, asked)
        return
    gate, stopped = threading.Semaphore(workers), threading.Event()

    def settle(one: A, future: Future[B]) -> None:
        with gate:
            if stopped.is_set():
                return
            try:
                future.set_result(work(one))
            except BaseException as error:  # raised where the result is asked for
                future.set_exception(error)

    under_way: deque[Future[B]] = deque()
    try:
        for one in asked:
            under_way.append(Future())
            threading.Thread(target=settle, args=(one, under_way[-1]), name="rank", daemon=True).start()
            if len(under_way) >= 2 * workers:  # the next ones stand ready while the first is awaited
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        stopped.set()
