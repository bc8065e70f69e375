"""One attempt at a request: bounded in time and size, whatever the server does, and to this server alone."""

import asyncio
import sys
from typing import Any

import openai

from llmrec_prompt.backends.openai.failures import spare_retries
from llmrec_prompt.errors import BackendError

MOST_BYTES = 64 << 20
"""Of a reply, unpacked."""
FILES = "/files"
"""Path of a batch's files: up to 200 MB are sent, and answers may be longer than what was asked."""
FILE_BYTES = 1 << 30
FILE_S = 3600.0
PACKED = ("", "identity", "gzip", "deflate")
"""How a reply may be packed: a piece off the wire is no more than a thousand times as long unpacked. Of other
ways, or of several in a row, nobody can say that before it is done."""
UNPACKED = ("content-encoding", "content-length", "transfer-encoding")
"""Headers that are true of a reply on the wire only."""


class AttemptClient(openai.DefaultAsyncHttpxClient):
    """The SDK's client with bounds on each attempt; what the SDK tries again is another one.

    Args:
        seconds: of one attempt, from the connection to the last byte; httpx's own are of each read.
        options: as of `DefaultAsyncHttpxClient`.
    """

    def __init__(self, seconds: float, **options: Any) -> None:
        packing = {"Accept-Encoding": "gzip, deflate"}
        super().__init__(follow_redirects=False, headers=packing, **options)
        self._seconds = seconds

    async def send(self, request: Any, *, stream: bool = False, **options: Any) -> Any:
        """The reply, wholly read; nothing here is ever streamed."""
        of_file = FILES in request.url.path
        seconds = max(FILE_S, self._seconds) if of_file else self._seconds
        try:
            async with asyncio.timeout(seconds):
                reply = await super().send(request, stream=True, **options)
                whole = await _whole(reply, FILE_BYTES if of_file else MOST_BYTES)
        except TimeoutError as error:
            raise _library(request).ReadTimeout(f"not answered in {seconds:g} s", request=request) from error
        spare_retries(whole)
        return whole


def _library(request: Any) -> Any:
    """`httpx` of openai 2, `httpx2` of openai 3: the SDK tries again after the errors of its own."""
    return sys.modules[type(request).__module__.partition(".")[0]]


async def _whole(reply: Any, most: int) -> Any:
    """A reply with its content unpacked.

    Raises:
        BackendError: it is too long, or packed so that it could be.
    """
    parts, size = [], 0
    try:
        packed = reply.headers.get("content-encoding", "").strip().lower()
        if packed not in PACKED:
            raise BackendError(f"The server packed its reply by {packed!r:.40}, which nobody asked for.")
        async for part in reply.aiter_bytes():
            size += len(part)
            if size > most:
                raise BackendError(f"The server's reply is longer than {most >> 20} MB; it was not read on.")
            parts.append(part)
    finally:
        await reply.aclose()
    headers = [(name, value) for name, value in reply.headers.multi_items() if name.lower() not in UNPACKED]
    return type(reply)(reply.status_code, headers=headers, content=b"".join(parts), request=reply.request)
