"""OpenAI's Batch API: calls that come together leave as one file and are answered within a day, at less.

A batch is noted on disk before it is sent, and until its answers are kept. Whoever asks the same calls again,
after a kill too, waits for that batch and sends nothing.

Source: https://platform.openai.com/docs/guides/batch (requests and answers as JSON lines, told apart by their
`custom_id`; at most 50,000 requests and 200 MB a file; all of one endpoint).
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import Context
from pathlib import Path
from typing import Any

import openai

from llmrec_prompt.backends.openai.failures import explain_status, ours, without_login, without_secrets
from llmrec_prompt.backends.openai.noted import Note, Notes
from llmrec_prompt.errors import BackendError

log = logging.getLogger(__name__)
MOST = 50_000
"""Requests of one batch."""
LARGEST = 200_000_000
"""Bytes of its file."""
GATHER_S = 1.0
"""A batch leaves when no further call has come for so long."""
ENDED = ("cancelled", "completed", "expired", "failed")
Body = Mapping[str, Any]
Keep = Callable[[str, Any], None]


class Batches:
    """Sends calls by batches. Used from one event loop only.

    Args:
        sdk: the server.
        ref: the model, for messages.
        folder: where batches under way are noted.
        keep: keeps an answer by the key of its call; whoever finds it there sees whether it can be used.
        poll: seconds between two looks at a batch.
    """

    def __init__(self, sdk: openai.AsyncOpenAI, ref: str, folder: Path, keep: Keep, *, poll: float) -> None:
        self._sdk, self._ref, self._keep, self._poll = sdk, ref, keep, poll
        self._asked: dict[str, asyncio.Future[Any]] = {}
        self._waiting: dict[str, list[tuple[str, Body]]] = {}
        self._came = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._notes = Notes(folder)
        self._under_way = self._notes.of_calls()
        self._watched: dict[str, asyncio.Task[None]] = {}

    async def send(self, path: str, body: Body, key: str) -> Any:
        """The reply to a call.

        Args:
            path: after `/v1`.
            body: of the request.
            key: what the call is known by, also to a later process.

        Raises:
            BackendError: the batch failed, or the server refused this call of it.
        """
        known = key in self._asked
        future = self._asked.setdefault(key, asyncio.get_running_loop().create_future())
        if key in self._under_way:
            self._watch(self._under_way[key])
        elif not known:
            self._gather(path, body, key)
        try:
            return await asyncio.shield(future)
        finally:
            self._asked.pop(key, None)  # an answer is kept by who asked; what failed may be asked again

    def _gather(self, path: str, body: Body, key: str) -> None:
        self._came.set()
        if path not in self._waiting:
            self._waiting[path] = []
            self._begin(self._send_all(path))
        self._waiting[path].append((key, body))

    def _begin(self, work: Any) -> asyncio.Task[None]:
        # In a context of its own: what it sends belongs to no single call, whose attempts are counted there.
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _send_all(self, path: str) -> None:
        """Wait until no further call comes, then send what there is."""
        while self._came.is_set():
            self._came.clear()
            await asyncio.sleep(GATHER_S)
        calls = [(key, _line(path, key, body)) for key, body in self._waiting.pop(path)]
        for part in in_files(calls):
            await self._guarded([key for key, _ in part], self._send_one(path, part))

    async def _guarded(self, keys: Sequence[str], work: Awaitable[None]) -> None:
        """Do some work; if it fails, so have all calls that wait for it."""
        try:
            await work
        except Exception as error:
            self._fail(keys, self._explained(error))

    def _explained(self, error: Exception) -> BackendError:
        if told := ours(error, self._ref, without_login(str(self._sdk.base_url))):
            return told
        why = without_secrets(str(error))
        return BackendError(f"A batch for {self._ref} failed: {type(error).__name__}: {why}", retryable=True)

    async def _send_one(self, path: str, calls: Sequence[tuple[str, bytes]]) -> None:
        content = b"".join(line for _, line in calls)
        file = await self._sdk.files.create(file=("calls.jsonl", content), purpose="batch")
        note = Note(file.id, path, tuple(key for key, _ in calls))
        self._notes.write(note)
        try:
            await self._create(note)
        finally:
            if note.file in self._notes:  # not refused: whoever asks again looks for it first
                self._under_way |= dict.fromkeys(note.keys, note.file)
        self._watch(note.file)

    async def _create(self, note: Note) -> Note:
        """Have a file answered."""
        where: Any = f"/v1{note.path}"
        try:
            batch = await self._sdk.batches.create(
                input_file_id=note.file, endpoint=where, completion_window="24h"
            )
        except openai.APIStatusError:
            self._forget(note)
            raise
        log.warning(
            "Batch %s with %d calls was sent; it is answered within a day. Stop whenever you like: "
            "the same command goes on waiting for it.",
            batch.id,
            len(note.keys),
        )
        return self._notes.taken(note.file, batch.id)

    async def _found(self, note: Note) -> Note:
        """A batch that a process was killed over while it sent it: the server's list says whether it did."""
        async for batch in self._sdk.batches.list(limit=100):
            if batch.input_file_id == note.file:
                return self._notes.taken(note.file, batch.id)
        return await self._create(note)

    def _forget(self, note: Note) -> None:
        self._notes.drop(note.file)
        for key in note.keys:
            self._under_way.pop(key, None)

    def _watch(self, file: str) -> None:
        if file not in self._watched:
            self._watched[file] = self._begin(self._guarded(self._notes[file].keys, self._wait(file)))

    async def _wait(self, file: str) -> None:
        """Look at a batch until it has ended, then hand its answers out."""
        try:
            note = self._notes[file]
            await self._answers(note if note.batch else await self._found(note))
        finally:
            self._watched.pop(file, None)

    async def _answers(self, note: Note) -> None:
        batch = await self._sdk.batches.retrieve(note.batch)
        while batch.status not in ENDED:
            await asyncio.sleep(self._poll)
            batch = await self._sdk.batches.retrieve(note.batch)
        asked, strange = frozenset(note.keys), 0
        for file in (batch.output_file_id, batch.error_file_id):
            if file:
                lines = (await self._sdk.files.content(file)).text.splitlines()
                strange += sum(not self._hand_out(json.loads(line), asked) for line in lines)
        if strange:
            log.warning("Batch %s: %d answers to calls that were not in it are left out.", batch.id, strange)
        self._forget(note)
        self._fail(note.keys, BackendError(_unanswered(batch, self._ref), retryable=True))

    def _hand_out(self, line: Mapping[str, Any], asked: frozenset[str]) -> bool:
        """Keep an answer, and give it to whoever waits for it; one that nobody asked yet is found kept.

        Returns:
            Whether the batch had such a call. An answer to any other is not kept: it could be what another
            server is going to be asked.
        """
        key, reply = str(line["custom_id"]), line.get("response") or {}
        if key not in asked:
            return False
        status = int(reply.get("status_code") or 0)
        if status == 200:
            self._keep(key, reply["body"])
        self._deliver(key, status, reply, line.get("error"))
        return True

    def _deliver(self, key: str, status: int, reply: Mapping[str, Any], error: Any) -> None:
        future = self._asked.get(key)
        if future is None or future.done():
            return
        if status == 200:
            future.set_result(reply["body"])
        else:
            body = (reply.get("body") or {}).get("error") or error
            future.set_exception(explain_status(status, body, self._ref))

    def _fail(self, keys: Sequence[str], error: BackendError) -> None:
        for key in keys:
            future = self._asked.get(key)
            if future is not None and not future.done():
                future.set_exception(error)


def _line(path: str, key: str, body: Body) -> bytes:
    line = {"custom_id": key, "method": "POST", "url": f"/v1{path}", "body": dict(body)}
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def in_files(
    calls: Sequence[tuple[str, bytes]], *, most: int = MOST, largest: int = LARGEST
) -> Iterator[Sequence[tuple[str, bytes]]]:
    """Calls in their order, in parts that are no more and no larger than a file may be.

    >>> list(in_files([("a", b"12"), ("b", b"34"), ("c", b"5")], largest=3))
    [[('a', b'12')], [('b', b'34'), ('c', b'5')]]
    """
    begin, size = 0, 0
    for place, (_, line) in enumerate(calls):
        size += len(line)
        if place > begin and (size > largest or place - begin == most):
            yield calls[begin:place]
            begin, size = place, len(line)
    if calls:
        yield calls[begin:]


def _unanswered(batch: Any, ref: str) -> str:
    """What to say of calls that a batch has no answer for."""
    errors = batch.errors.data if batch.errors and batch.errors.data else []
    why = f": {without_secrets(str(errors[0].message))}" if errors else ""
    return (
        f"Batch {batch.id} of {ref} ended as {batch.status} without an answer to this call{why}. Run again."
    )
