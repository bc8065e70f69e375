"""A backend under one adapter, whoever else uses the same backend in between."""

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from llmrec_prompt.backends.base import Backend, Choice, Message, Score, ScoreRequest, Vectors


class Turns:
    """Who may ask a shared model: those of one adapter at a time, and of them one where it takes no more.

    Engines keep state between calls (the adapter in force, the prefix in the cache): two threads in one
    would mix it, or end the process. A server takes several at once, as long as they want one adapter. Who
    came first goes first, so that nobody's adapter keeps the others out.
    """

    kept: object = None
    """The model, where nothing else can tell when it is gone."""

    def __init__(self, backend: Backend) -> None:
        self._many = backend.info.at_once > 1
        self.reset()

    def reset(self) -> None:
        """Forget who is inside: in a forked process they are not."""
        self._free, self._inside, self._queue = threading.Condition(), 0, deque[object]()

    @contextmanager
    def under(self, backend: Backend, adapter: str | None) -> Iterator[Backend]:
        """Wait for a turn, and put the adapter in force for as long as it lasts."""
        with self._first(lambda: self._many and backend.adapter == adapter):
            if backend.adapter != adapter:
                backend.use(adapter)
            self._inside += 1
        try:
            yield backend
        finally:
            with self._free:
                self._inside -= 1
                self._free.notify_all()

    def take_up(self, backend: Backend, adapter: str) -> str:
        """Load an adapter, again where its files have changed; its hash as it is loaded."""
        with self._first(lambda: False):
            backend.use(adapter)
            return backend.adapter_hash

    @contextmanager
    def _first(self, beside: Callable[[], bool]) -> Iterator[None]:
        """Wait until nobody who came before waits, and nobody is inside or one may be there `beside` them."""
        ticket = object()
        with self._free:
            self._queue.append(ticket)
            try:
                self._free.wait_for(lambda: self._queue[0] is ticket and (not self._inside or beside()))
                yield
            finally:
                self._queue.remove(ticket)
                self._free.notify_all()


_TURNS: dict[int, Turns] = {}
_ALONE = threading.Lock()


def turns_of(backend: Backend) -> Turns:
    """Those of a model, the same for all who share it."""
    with _ALONE:
        found = _TURNS.get(id(backend))
        if found is None:
            found = _TURNS[id(backend)] = Turns(backend)
            try:
                weakref.finalize(backend, _TURNS.pop, id(backend), None).atexit = False
            except TypeError:  # one that cannot be watched is kept, so that its id stays its own
                found.kept = backend
        return found


def _in_child() -> None:
    for turns in _TURNS.values():
        turns.reset()
    _ALONE.release()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_ALONE.acquire, after_in_parent=_ALONE.release, after_in_child=_in_child)


class PinnedBackend:
    """The same backend, with `adapter` in force at every call, whatever thread it comes from.

    Several of these may share one loaded model: each call waits for its turn and switches only where another
    adapter is in force. Whatever is built on one never sees numbers of another's adapter.
    """

    def __init__(self, backend: Backend, adapter: str | None) -> None:
        self._backend, self.adapter = backend, adapter
        self.info, self.usage = backend.info, backend.usage
        self._turns = turns_of(backend)

    @property
    def adapter_hash(self) -> str:
        """Of the pinned adapter, as it is loaded."""
        with self._turn() as backend:
            return backend.adapter_hash

    def _turn(self) -> AbstractContextManager[Backend]:
        return self._turns.under(self._backend, self.adapter)

    def score(self, requests: Sequence[ScoreRequest]) -> list[list[Score]]:
        """See `Backend.score`."""
        with self._turn() as backend:
            return backend.score(requests)

    def choose(self, prompts: Sequence[str], labels: Sequence[str]) -> list[Choice]:
        """See `Backend.choose`."""
        with self._turn() as backend:
            return backend.choose(prompts, labels)

    def generate(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 256,
    ) -> Any:
        """See `Backend.generate`."""
        with self._turn() as backend:
            return backend.generate(messages, schema=schema, max_tokens=max_tokens)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Backend.embed`."""
        with self._turn() as backend:
            return backend.embed(texts)

    def count_tokens(self, text: str) -> int:
        """See `Backend.count_tokens`; no adapter changes a tokenizer."""
        return self._backend.count_tokens(text)

    def use(self, adapter: str | None) -> None:
        """Pin another adapter; it is put in force at the next call."""
        self.adapter = adapter

    def close(self) -> None:
        """Close the shared backend, for all who use it."""
        self._backend.close()
