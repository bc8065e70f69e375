"""An event loop in a thread of its own, so that any thread may ask. No answer paid for is lost.

Who is interrupted waits for the requests that were sent; a second interruption drops them, and so does the
first while this is closed. Nothing else is sent meanwhile.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import Any, TypeVar

from llmrec_prompt.errors import BackendError

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Loop:
    """Starts with the first work; before that there is nothing to close.

    Args:
        waits: whether requests that were sent are awaited at the end. Not so where the server keeps the
            answers, for a day perhaps.
    """

    def __init__(self, *, waits: bool = True) -> None:
        self._waits = waits
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = self._closing = self._ending = False
        self._sent: set[asyncio.Task[Any] | None] = set()

    @property
    def ending(self) -> bool:
        """Whether nothing more is to be sent."""
        return self._ending

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Around a request and the keeping of its reply, on the loop.

        Raises:
            BackendError: all this is coming to an end; the request was not sent.
        """
        if self._ending:
            raise BackendError("Stopped before this request was sent.")
        task = asyncio.current_task()
        self._sent.add(task)
        try:
            yield
        finally:
            self._sent.discard(task)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of some work; if the caller is interrupted, the work comes to an end too."""
        try:
            loop = self._running()
        except BaseException:
            work.close()
            raise
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result()
        except BaseException:
            if not future.done():  # interrupted; work that failed by itself stops nobody else's
                self._end(future)
            raise

    def _end(self, future: "Future[Any]") -> None:
        """Send nothing more of some work, and wait for what was sent."""
        try:
            self._ending = True
            if self._waits and not self._closing:  # at the end they are waited for already
                self._tell("Stop again to drop them.")
                wait([future])
        finally:
            future.cancel()
            self._ending = False

    def _tell(self, way_out: str) -> None:
        if self._sent:
            said = "Waiting for %d requests that were sent; their answers are kept. %s"
            logger.warning(said, len(self._sent), way_out)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise BackendError("This hosted model is closed. Load it again.")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="hosted", daemon=True)
                self._thread.start()
            return self._loop

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Wait for what was sent, do the last work, and stop the thread."""
        begun = self._loop is not None and self._thread is not threading.current_thread()
        if begun and self._loop is not None and self._thread is not None:
            self._closing = True
            try:
                self.run(self._wait())
            finally:
                self.run(self._finish(last))
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join()
                self._loop.close()
        self._closed = True

    async def _wait(self) -> None:
        """Until what was sent is answered, where that is worth waiting for."""
        self._ending = True
        if self._waits and self._sent:
            self._tell("Ctrl-C drops them.")
            await asyncio.wait([task for task in self._sent if task is not None])

    async def _finish(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do the last work and give transports the turn in which they close."""
        self._ending = True
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await last()
        await asyncio.sleep(0)
