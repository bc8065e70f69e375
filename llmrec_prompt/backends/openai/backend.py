"""The hosted backend: the protocol's questions as calls to an OpenAI-compatible server."""

import math
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from llmrec_prompt.backends.base import Choice, Message, ModelInfo, Score, ScoreRequest, Usage, Vectors
from llmrec_prompt.backends.labels import check_distinct
from llmrec_prompt.backends.models import adapter_identity
from llmrec_prompt.backends.openai import answering, choosing, scoring
from llmrec_prompt.backends.openai.client import Call, Client
from llmrec_prompt.backends.openai.failures import without_login
from llmrec_prompt.backends.openai.ledger import Tokens
from llmrec_prompt.backends.openai.options import Hosted
from llmrec_prompt.backends.openai.privacy import Redactor
from llmrec_prompt.backends.openai.probe import probe
from llmrec_prompt.backends.openai.record import Record, last_epoch
from llmrec_prompt.backends.openai.replies import vectors
from llmrec_prompt.backends.openai.serverside import count_tokens, find_served, served_now
from llmrec_prompt.cache import content_key
from llmrec_prompt.errors import BackendError, ConfigError, Unsupported

ENGINE = "openai"
TEXTS = 64
"""Texts of one embeddings call."""
BYTES_A_TOKEN = 4
"""Of English, about: how tokens are guessed where a server has no tokenizer to ask."""


class ThreadUsage(threading.local):
    """Tokens that the calling thread's questions took: rankings of many threads are under way at once."""

    def __init__(self) -> None:
        self.evaluated = self.reused = 0


class OpenAIBackend:
    """A model behind a server. See `Backend` for what the methods answer, `info.remarks` for how well.

    Args:
        ref: the reference the user gave, for reports.
        model: what the server calls it.
        hosted: the user's leave and settings.
        context: most tokens of one sequence, where the server does not say.
        weights: identity of the weights where the user knows what is served; else of server and name, and of
            the last `refresh`.

    Raises:
        BackendError: the server cannot be reached, or answers to nothing.
        ConfigError: there is no key, or, with `preview`, no record of the server.
    """

    def __init__(
        self, ref: str, model: str, hosted: Hosted, *, context: int = 4096, weights: str = ""
    ) -> None:
        self.hosted = hosted
        self._model, self.redactor = model, Redactor(hosted.redact)
        self._fresh = False
        self._client = Client(ref, model, hosted)
        try:
            self.record = self._find_record(ref)
        except BaseException:
            self._client.close()
            raise
        self.info = self._inform(ref, weights, context)
        self.usage = cast(Usage, ThreadUsage())  # no subclass: that has slots, which are not a thread's own
        self.adapter: str | None = None
        self.adapter_hash = ""
        self._extra: dict[str, Any] = {}
        self._counts: dict[str, int] = {}
        self._use(None)

    def _find_record(self, ref: str) -> Record:
        base_url, model = self._client.base_url, self._model
        known = None if self.hosted.refresh else Record.known(base_url, model)
        if known is not None:
            return known
        if self.hosted.preview:
            given = self.hosted.base_url
            place = f" --base-url {without_login(given)}" if given else ""
            raise ConfigError(
                f"What would be sent depends on what the server of {ref} gives, which is not known yet. "
                f"Run once: llmrec models show {ref} --hosted{place}"
            )
        epoch = repr(time.time_ns()) if self.hosted.refresh else last_epoch(base_url, model)
        found = probe(self._client, model, ref).model_copy(update={"epoch": epoch})
        found.save()
        self._fresh = True
        return found

    def _inform(self, ref: str, weights: str, context: int) -> ModelInfo:
        found = self.record
        return ModelInfo(
            ref,
            weights or content_key(self._client.base_url, self._model, found.epoch)[:16],
            ENGINE,
            found.context or context,
            found.dimensions,
            found.can,
            found.remarks,
            self.hosted.at_once,
            guesses_tokens=self._guesses,
        )

    @property
    def _guesses(self) -> bool:
        return not self.record.tokenizer or self.hosted.preview

    @property
    def fields(self) -> tuple[str, ...]:
        """Item fields that templates may show."""
        return self.hosted.fields

    def _ask(self, calls: Sequence[Call]) -> list[Any]:
        """The replies; what they cost is counted: tokens from the server's prompt cache are reused ones."""
        spent: list[Tokens] = []
        try:
            return self._client.ask(calls, spent, content_key(self.info.hash, self.adapter_hash))
        finally:
            total = sum(spent, Tokens())
            self.usage.evaluated += total.sent - total.cached + total.answered
            self.usage.reused += total.cached

    def score(self, requests: Sequence[ScoreRequest]) -> list[list[Score]]:
        """Score every continuation by the echo of prompt and continuation; see `Backend.score`."""
        self._require("score")
        calls = [
            scoring.call(self.record, self._named(), text)
            for request in requests
            for text in self._texts(request)
        ]
        replies = iter(self._ask(calls))
        return [
            scoring.scores(self.record, [next(replies) for _ in self._texts(request)]) for request in requests
        ]

    def _texts(self, request: ScoreRequest) -> list[str]:
        """The prompt alone, which says where it ends in tokens, and with each continuation."""
        if not request.continuations:
            return []
        if not all(request.continuations):
            raise BackendError("An empty continuation cannot be scored. Give each candidate a text.")
        prompt = self._clean(request.prompt)
        return [prompt, *(prompt + self._clean(text) for text in request.continuations)]

    def choose(self, prompts: Sequence[str], labels: Sequence[str]) -> list[Choice]:
        """The labels among the likeliest next tokens that the server shows; see `Choice`."""
        self._require("choose")
        check_distinct(labels, labels)
        if prompts and self.record.tokenizer:
            self._check_labels(prompts[0], labels)
        calls = [choosing.call(self.record, self._named(), self._clean(prompt)) for prompt in prompts]
        return [choosing.chosen(self.record, reply, labels) for reply in self._ask(calls)]

    def _check_labels(self, prompt: str, labels: Sequence[str]) -> None:
        """See with the server's tokenizer that each label is one token after a prompt's last line."""
        end = prompt.rpartition("\n")[2]
        for label in labels:
            if self.count_tokens(end + label) != self.count_tokens(end) + 1:
                raise BackendError(
                    f"Label {label!r} is not exactly one token after this prompt. Choose another."
                )

    def generate(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 256,
    ) -> Any:
        """Answer a conversation; see `Backend.generate`."""
        self._require("generate")
        if schema is not None:
            self._require("schema")
        clean = [{"role": m["role"], "content": self._clean(m["content"])} for m in messages]
        thoughts = self.hosted.thinking_tokens if self.record.thinks else 0
        call = answering.call(self.record, self._named(), clean, schema, max_tokens + thoughts)
        (reply,) = self._ask([call])
        return answering.answer(reply, self.info.ref, schema is not None)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The server's embeddings of the texts: (len(texts), dimensions)."""
        self._require("embed")
        clean = [self._clean(text) for text in texts]
        parts = [clean[begin : begin + TEXTS] for begin in range(0, len(clean), TEXTS)]
        replies = self._ask([self._embedding(part) for part in parts])
        rows = [v for part, r in zip(parts, replies, strict=True) for v in vectors(r, len(part))]
        return np.array(rows, np.float32).reshape(len(texts), self.info.dimensions)

    def _embedding(self, part: list[str]) -> Call:
        size = self.info.dimensions

        def check(reply: Any) -> None:
            found = vectors(reply, len(part))
            if not found or any(len(vector) != size for vector in found):
                raise BackendError(f"{self.info.ref} did not give {len(part)} vectors of {size} numbers.")

        body = {**self._named(), "input": part, "encoding_format": "float"}
        return Call("/embeddings", body, check)

    def count_tokens(self, text: str) -> int:
        """By the server's tokenizer where it has one, else a guess from the text's length."""
        if not self._guesses:
            if text not in self._counts:
                found = count_tokens(self._client, self.record.tokenizer, self._model, self._clean(text))
                if found is None:
                    raise BackendError(f"The tokenizer of {self.info.ref} does not answer any more.")
                self._counts[text] = found
            return self._counts[text]
        return math.ceil(len(text.encode()) / BYTES_A_TOKEN)

    def use(self, adapter: str | None) -> None:
        """Switch to an adapter that the server has loaded, by its name, folder or file, or to the base.

        Raises:
            AdapterError: the server does not have it, or has several of that name.
            BackendError: the server cannot be reached.
            Unsupported: the server has none.
        """
        if adapter is None:
            self._use(None)
            self.adapter, self.adapter_hash = None, ""
            return
        self._require("adapters")
        self._refresh_adapters()
        place = find_served(self.record, adapter)
        self._use(place)
        self.adapter, self.adapter_hash = adapter, self._identity(adapter, self.record.adapters[place])

    def _refresh_adapters(self) -> None:
        """What the record says of them may be from before the server was last started. Looked up once."""
        if self._fresh or self.hosted.preview:
            return
        found = served_now(self._client, self.record)
        if found != self.record.adapters:
            self.record = self.record.model_copy(update={"adapters": found})
            self.record.save()
        self._fresh = True

    def _identity(self, adapter: str, served: str) -> str:
        """The hash of the adapter's files if they are here; else of its name there and the last refresh."""
        found = adapter_identity(adapter)
        return content_key(served, self.record.epoch)[:16] if found == adapter else found

    def _use(self, place: int | None) -> None:
        """What every body says from now on.

        llama-server would reuse a prompt's states across adapters (ggml-org/llama.cpp#26207), so they are not
        to be kept.
        """
        served = self.record.adapters
        self._name = self._model
        if self.record.lora == "request":
            scales = [{"id": i, "scale": float(i == place)} for i in range(len(served))]
            self._extra = {"lora": scales, "cache_prompt": False}
        elif place is not None:
            self._name = served[place]

    def _named(self) -> dict[str, Any]:
        return {"model": self._name, **self._extra}

    def _clean(self, text: str) -> str:
        return self.redactor(text)

    def _require(self, what: Any) -> None:
        if what not in self.info.can:
            why = self.info.remarks.get(what, "")
            raise Unsupported(f"{self.info.ref} cannot {what}.{f' Found: {why}.' if why else ''}")

    def close(self) -> None:
        """End the connections."""
        self._client.close()
