"""Many rankings at once, for a backend that waits for a server most of the time."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from llmrec_prompt.rank.base import Ranker, Request, rank
from llmrec_prompt.types import Candidates, History, Ranking


def rank_many(
    ranker: Ranker, asked: Iterable[tuple[History, Candidates, Request]], *, workers: int
) -> Iterator[Ranking]:
    """Rank for many users, `workers` at a time; answers come in the order asked.

    For rankers of a hosted model, whose backend any thread may ask; a local model is one at a time anyway.
    Users are taken from `asked` as they are needed. Token counts in provenances are those of all rankings
    under way, so only their sum means something.

    Raises:
        LlmrecError: as `rank` does, at the place of the user whose ranking failed.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="rank") as pool:
        under_way: deque[Future[Ranking]] = deque()
        try:
            for history, candidates, request in asked:
                under_way.append(pool.submit(rank, ranker, history, candidates, request))
                if len(under_way) >= 2 * workers:  # the next ones stand ready while the first is awaited
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()
