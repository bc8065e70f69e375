"""Calls to a server through the official SDK: many at once, each metered, logged, and kept when answered.

The SDK retries (connection, 408, 409, 429, 5xx; it waits as `Retry-After` says); there is no second layer.
Calls run on an event loop in a thread of their own, so that any thread may ask.
"""

import asyncio
import json
import time
import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from llmrec_prompt.backends.openai.answers import AnswerStore
from llmrec_prompt.backends.openai.batching import MOST, Batches
from llmrec_prompt.backends.openai.failures import explain, is_missing, kind_of, require_key
from llmrec_prompt.backends.openai.ledger import Ledger, Meter, Tokens, read_price
from llmrec_prompt.backends.openai.loop import Loop
from llmrec_prompt.backends.openai.options import Hosted, Previewed
from llmrec_prompt.backends.openai.pacing import Pace
from llmrec_prompt.backends.openai.replies import tokens_of
from llmrec_prompt.cache import cache_dir, content_key
from llmrec_prompt.errors import BackendError, BudgetExceeded, ConfigError, LlmrecError, MissingExtra

try:
    import openai

    from llmrec_prompt.backends.openai.wire import AttemptClient
except ImportError as error:
    raise MissingExtra("A hosted model", "openai") from error

PROBE_RETRIES = 1
"""A server that fails at what it cannot do answers 500 again and again; once more is enough."""
FORMAT_BYTES = 256
"""What a chat template may add to a prompt, in the bound on its tokens (a token is a byte at least)."""
_attempts: ContextVar[Counter[str] | None] = ContextVar("attempts", default=None)


@dataclass(slots=True)
class _Bill:
    """What a call cost so far; it stands also where the reply that was paid for cannot be used."""

    tokens: Tokens = field(default_factory=Tokens)


@dataclass(frozen=True, slots=True)
class Call:
    """One request: the path after `/v1`, the body, and what sees whether the reply can be used."""

    path: str
    body: Mapping[str, Any]
    check: Callable[[Any], None]


def encode(body: Mapping[str, Any]) -> bytes:
    """The body as the SDK sends it."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


class Client:
    """One server, one model.

    Args:
        ref: the reference the user gave, for messages.
        model: what the server calls it, for the price table.
        hosted: the user's leave and settings.

    Raises:
        ConfigError: no key, no price, or a ledger that cannot be written.
        MissingExtra: the SDK is not installed.
    """

    def __init__(self, ref: str, model: str, hosted: Hosted) -> None:
        self.ref, self._hosted = ref, hosted
        price = read_price(hosted.prices, model) if hosted.prices else None
        if hosted.budget_money is not None and price is None:
            raise ConfigError(
                "A budget in money needs prices. Give `prices`, a YAML file; see docs/hosted.md."
            )
        self.meter = Meter(hosted.budget_tokens, hosted.budget_money, price)
        self._ledger = Ledger(hosted.ledger)
        self._pace = Pace()
        self._sdk = self._make_sdk()
        self._loop = Loop(waits=not hosted.batch)
        self._gate = asyncio.Semaphore(MOST if hosted.batch else hosted.concurrency)
        self._settled = asyncio.Condition()
        self._turns: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._store = AnswerStore(cache_dir() / "hosted" / "answers.sqlite")
        folder = cache_dir() / "hosted" / "batches" / content_key(self.base_url)[:16]
        self._batches = None
        if hosted.batch:
            self._batches = Batches(self._sdk, ref, folder, self._store.put, poll=hosted.batch_poll)
        # Whoever forgets to close leaves no thread and no connection behind.
        self._end = weakref.finalize(self, _end, self._loop, self._sdk, self._store)

    def _make_sdk(self) -> openai.AsyncOpenAI:
        base_url = self._hosted.base_url
        hooks: Any = {"request": [_count_attempt], "response": [_count_status, self._hear]}
        return openai.AsyncOpenAI(
            api_key=require_key(self.ref, base_url),
            base_url=base_url,
            timeout=self._hosted.timeout,
            max_retries=self._hosted.retries,
            http_client=AttemptClient(self._hosted.timeout, event_hooks=hooks),
        )

    async def _hear(self, response: Any) -> None:
        self._pace.hear(response.headers)

    @property
    def base_url(self) -> str:
        """Where the API is, without a slash at its end."""
        return str(self._sdk.base_url).rstrip("/")

    @property
    def root(self) -> str:
        """The server itself, without `/v1`: where servers have what OpenAI's API lacks."""
        return self.base_url.removesuffix("/v1")

    def ask(self, calls: Sequence[Call], spent: list[Tokens], served: str = "") -> list[Any]:
        """The replies, in order. Where one fails all others are still awaited, and kept for the next time.

        Args:
            calls: what to ask.
            spent: gets the tokens of every call that was answered, also where the reply cannot be used.
            served: what answers, weights and adapter. A body names them by what a server calls them today.

        Raises:
            BackendError: a call failed after all its attempts, or its reply cannot be used.
            BudgetExceeded: a call could have passed the budget.
            Previewed: settings say to send nothing.
        """
        if self._hosted.preview and calls:
            raise Previewed([(call.path, encode(call.body)) for call in calls])
        found = self._loop.run(self._all(calls, spent, served))
        for reply in found:
            if isinstance(reply, BaseException):
                raise reply
        return found

    async def _all(self, calls: Sequence[Call], spent: list[Tokens], served: str) -> list[Any]:
        asked = (self._one(call, spent, served) for call in calls)
        return await asyncio.gather(*asked, return_exceptions=True)

    async def _one(self, call: Call, spent: list[Tokens], served: str) -> Any:
        payload = encode(call.body)
        key = content_key(self.base_url, served, call.path, payload.decode())
        async with self._turns.setdefault(key, asyncio.Lock()):  # the same call at the same time is sent once
            kept = self._store.get(key)
            if kept is not None and _passes(call, kept):
                self._ledger.write(time=_now(), path=call.path, key=key, status="stored")
                return kept
            return await self._asked(call, key, _most(call.body, payload), spent)

    async def _asked(self, call: Call, key: str, most: Tokens, spent: list[Tokens]) -> Any:
        """The reply of the server, kept; sent when there is room, and budget for the most it can cost."""
        async with self._gate:
            await self._pace.wait(lambda: self._loop.ending)
            await self._hold(most)
            bill = _Bill()
            try:
                with self._loop.sending():
                    reply = await self._logged(call, key, most, bill)
                    self._store.put(key, reply)
            finally:
                spent.append(bill.tokens)
                await self._settle(most, bill.tokens)
        return reply

    async def _hold(self, most: Tokens) -> None:
        """Wait for calls under way before the budget is found too small: they cost less than set aside."""
        async with self._settled:
            while True:
                try:
                    return self.meter.hold(most)
                except BudgetExceeded:
                    if not self.meter.waiting:
                        raise
                    await self._settled.wait()

    async def _settle(self, most: Tokens, found: Tokens) -> None:
        """Count what a call did cost, and tell those who wait for room."""
        self.meter.settle(most, found)
        async with self._settled:
            self._settled.notify_all()

    async def _logged(self, call: Call, key: str, most: Tokens, bill: _Bill) -> Any:
        """The reply, or the error in our words; its cost in `bill` and a line in the ledger either way."""
        counts: Counter[str] = Counter()
        token, begin, status = _attempts.set(counts), time.monotonic(), "ok"
        try:
            reply = await self._send(call, key, most)
            bill.tokens = tokens_of(reply) or most
            call.check(reply)
        except asyncio.CancelledError:
            status = "dropped"
            if self._batches is None:  # a batch goes on, and is paid for when its answers are read
                bill.tokens = most
                self._store.settle(key)
            raise
        except Exception as error:
            status = kind_of(error)
            self._store.settle(key)
            if isinstance(error, LlmrecError):
                raise
            raise self._explained(error, counts["attempts"]) from error
        finally:
            _attempts.reset(token)
            self._write(call.path, key, status, bill.tokens, counts, time.monotonic() - begin)
        return reply

    def _explained(self, error: Exception, attempts: int) -> BackendError:
        return explain(error, self.ref, attempts, self.base_url, self._hosted.timeout)

    async def _send(self, call: Call, key: str, most: Tokens) -> Any:
        if self._batches is not None:
            return await self._batches.send(call.path, call.body, key)
        name, again = self._store.mark_sent(key)
        if again:  # nobody knows whether the server answered: in the ledger it costs what it can have cost
            self._write(call.path, key, "lost", most, Counter(attempts=1), 0.0)
        options: Any = {"headers": {"Idempotency-Key": name}}
        return await self._sdk.post(call.path, cast_to=object, body=dict(call.body), options=options)

    def _write(
        self, path: str, key: str, status: str, found: Tokens, counts: Counter[str], seconds: float
    ) -> None:
        attempts = counts.pop("attempts", 0)
        silent = attempts - counts.pop("replies", 0)
        errors = {**counts, **({"no_reply": silent} if silent else {})}
        self._ledger.write(
            time=_now(),
            path=path,
            key=key,
            status=status,
            attempts=attempts,
            errors=errors,
            tokens_sent=found.sent,
            tokens_answered=found.answered,
            tokens_cached=found.cached,
            money=self.meter.money(found),
            seconds=round(seconds, 4),
        )

    def attempt(self, path: str, body: Mapping[str, Any] | None = None) -> tuple[Any, str]:
        """For probing: the reply (a GET without a body), or None and why the server does not do this.

        Raises:
            BackendError: it cannot be reached, refuses the key, or is overloaded: nothing is known then.
        """
        return self._loop.run(self._attempt(path, body))

    async def _attempt(self, path: str, body: Mapping[str, Any] | None) -> tuple[Any, str]:
        if body is None or not path.startswith("/"):  # beside `/v1`, as tokenizers are, nothing is paid for
            return await self._tried(path, body)
        most = _most(body, encode(body))
        await self._hold(most)
        found = Tokens()
        try:
            reply, why = await self._tried(path, body)
            found = found if reply is None else tokens_of(reply) or most
            return reply, why
        finally:
            await self._settle(most, found)

    async def _tried(self, path: str, body: Mapping[str, Any] | None) -> tuple[Any, str]:
        sdk, counts = self._sdk.with_options(max_retries=PROBE_RETRIES), Counter[str]()
        token = _attempts.set(counts)
        try:
            if body is None:
                return await sdk.get(path, cast_to=object), ""
            return await sdk.post(path, cast_to=object, body=dict(body)), ""
        except Exception as error:
            why = self._explained(error, counts["attempts"])
            if is_missing(error):
                return None, str(why)
            raise why from error
        finally:
            _attempts.reset(token)

    def close(self) -> None:
        """End the connections and the thread."""
        self._end()


def _end(loop: Loop, sdk: openai.AsyncOpenAI, store: AnswerStore) -> None:
    loop.close(sdk.close)
    store.close()


async def _count_attempt(request: Any) -> None:
    if (counts := _attempts.get()) is not None:
        counts["attempts"] += 1


async def _count_status(response: Any) -> None:
    if (counts := _attempts.get()) is not None:
        counts["replies"] += 1
        if response.status_code >= 400:
            counts[str(response.status_code)] += 1


def _passes(call: Call, kept: Any) -> bool:
    """Whether a kept reply can be used: a batch's are kept before anybody looks at them."""
    try:
        call.check(kept)
    except LlmrecError:
        return False
    return True


def _most(body: Mapping[str, Any], payload: bytes) -> Tokens:
    """The most tokens a call can cost."""
    answered = body.get("max_tokens", body.get("max_completion_tokens", 0))
    return Tokens(len(payload) + FORMAT_BYTES, int(answered))


def _now() -> float:
    return round(time.time(), 3)
