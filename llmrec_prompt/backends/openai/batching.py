"""OpenAI's Batch API: calls that come together leave as one file and are answered within a day, at less.

A batch that was sent is noted on disk before it is waited for. Whoever asks the same calls again, after a
kill too, waits for that batch and sends nothing.

Source: https://platform.openai.com/docs/guides/batch (requests and answers as JSON lines, told apart by their
`custom_id`; at most 50,000 requests a file; all of one endpoint).
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Mapping, Sequence
from contextvars import Context
from pathlib import Path
from typing import Any

import openai

from llmrec_prompt.backends.openai.failures import explain_status, without_secrets
from llmrec_prompt.cache import write_atomically
from llmrec_prompt.errors import BackendError

log = logging.getLogger(__name__)
MOST = 50_000
"""Requests of one batch."""
GATHER_S = 1.0
"""A batch leaves when no further call has come for so long."""
ENDED = ("cancelled", "completed", "expired", "failed")
Body = Mapping[str, Any]


class Batches:
    """Sends calls by batches. Used from one event loop only.

    Args:
        sdk: the server.
        ref: the model, for messages.
        folder: where batches under way are noted.
        poll: seconds between two looks at a batch.
    """

    def __init__(self, sdk: openai.AsyncOpenAI, ref: str, folder: Path, *, poll: float) -> None:
        self._sdk, self._ref, self._folder, self._poll = sdk, ref, folder, poll
        self._asked: dict[str, asyncio.Future[Any]] = {}
        self._waiting: dict[str, list[tuple[str, Body]]] = {}
        self._came = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way = _noted(folder)
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
        future = self._future(key)
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
        calls = self._waiting.pop(path)
        for begin in range(0, len(calls), MOST):
            part = calls[begin : begin + MOST]
            await self._guarded([key for key, _ in part], self._send_one(path, part))

    async def _guarded(self, keys: Sequence[str], work: Awaitable[None]) -> None:
        """Do some work; if it fails, so have all calls that wait for it."""
        try:
            await work
        except Exception as error:
            told = error if isinstance(error, BackendError) else self._explained(error)
            self._fail(keys, told)

    def _explained(self, error: Exception) -> BackendError:
        why = without_secrets(str(error))
        return BackendError(f"A batch for {self._ref} failed: {type(error).__name__}: {why}", retryable=True)

    async def _send_one(self, path: str, calls: Sequence[tuple[str, Body]]) -> None:
        lines = [
            {"custom_id": key, "method": "POST", "url": f"/v1{path}", "body": dict(body)}
            for key, body in calls
        ]
        content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
        file = await self._sdk.files.create(file=("calls.jsonl", content), purpose="batch")
        where: Any = f"/v1{path}"
        batch = await self._sdk.batches.create(input_file_id=file.id, endpoint=where, completion_window="24h")
        keys = [key for key, _ in calls]
        write_atomically(self._folder / f"{batch.id}.json", json.dumps(keys))
        self._under_way |= dict.fromkeys(keys, batch.id)
        log.warning(
            "Batch %s with %d calls was sent; it is answered within a day. Stop whenever you like: "
            "the same command goes on waiting for it.",
            batch.id,
            len(keys),
        )
        self._watch(batch.id)

    def _watch(self, batch: str) -> None:
        if batch not in self._watched:
            keys = [key for key, known in self._under_way.items() if known == batch]
            self._watched[batch] = self._begin(self._guarded(keys, self._wait(batch, keys)))

    async def _wait(self, batch_id: str, keys: Sequence[str]) -> None:
        """Look at a batch until it has ended, then hand its answers out."""
        try:
            await self._answers(batch_id, keys)
        finally:
            self._watched.pop(batch_id, None)

    async def _answers(self, batch_id: str, keys: Sequence[str]) -> None:
        batch = await self._sdk.batches.retrieve(batch_id)
        while batch.status not in ENDED:
            await asyncio.sleep(self._poll)
            batch = await self._sdk.batches.retrieve(batch_id)
        for file in (batch.output_file_id, batch.error_file_id):
            if file:
                for line in (await self._sdk.files.content(file)).text.splitlines():
                    self._hand_out(json.loads(line))
        (self._folder / f"{batch_id}.json").unlink(missing_ok=True)
        for key in keys:
            self._under_way.pop(key, None)
        self._fail(keys, BackendError(_unanswered(batch, self._ref), retryable=True))

    def _hand_out(self, line: Mapping[str, Any]) -> None:
        future = self._future(str(line["custom_id"]))
        if future.done():
            return
        reply = line.get("response") or {}
        if reply.get("status_code") == 200:
            future.set_result(reply["body"])
        else:
            body = (reply.get("body") or {}).get("error") or line.get("error")
            future.set_exception(explain_status(int(reply.get("status_code") or 0), body, self._ref))
            future.exception()  # whoever does not ask for it shall not be warned of it

    def _future(self, key: str) -> asyncio.Future[Any]:
        """Of a call; one that nobody has asked yet may be asked later."""
        return self._asked.setdefault(key, asyncio.get_running_loop().create_future())

    def _fail(self, keys: Sequence[str], error: BackendError) -> None:
        for key in keys:
            future = self._future(key)
            if not future.done():
                future.set_exception(error)
                future.exception()


def _noted(folder: Path) -> dict[str, str]:
    """Call → batch, of all batches that were under way when a process ended."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            found |= dict.fromkeys(json.loads(path.read_text(encoding="utf-8")), path.stem)
        except (OSError, ValueError):
            continue
    return found


def _unanswered(batch: Any, ref: str) -> str:
    """What to say of calls that a batch has no answer for."""
    errors = batch.errors.data if batch.errors and batch.errors.data else []
    why = f": {without_secrets(str(errors[0].message))}" if errors else ""
    return (
        f"Batch {batch.id} of {ref} ended as {batch.status} without an answer to this call{why}. Run again."
    )
