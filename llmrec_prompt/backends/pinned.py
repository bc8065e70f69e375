"""A backend under one adapter, whoever else uses the same backend in between."""

from collections.abc import Mapping, Sequence
from typing import Any

from llmrec_prompt.backends.base import Backend, Choice, Message, Score, ScoreRequest, Vectors


class PinnedBackend:
    """The same backend, with `adapter` in force at every call.

    Several of these may share one loaded model: each call switches only where another adapter is in
    force. Whatever is built on one never sees numbers of another's adapter.
    """

    def __init__(self, backend: Backend, adapter: str | None) -> None:
        self._backend, self.adapter = backend, adapter
        self.info, self.usage = backend.info, backend.usage

    @property
    def adapter_hash(self) -> str:
        """Of the pinned adapter, as it is loaded."""
        return self._switched().adapter_hash

    def _switched(self) -> Backend:
        if self._backend.adapter != self.adapter:
            self._backend.use(self.adapter)
        return self._backend

    def score(self, requests: Sequence[ScoreRequest]) -> list[list[Score]]:
        """See `Backend.score`."""
        return self._switched().score(requests)

    def choose(self, prompts: Sequence[str], labels: Sequence[str]) -> list[Choice]:
        """See `Backend.choose`."""
        return self._switched().choose(prompts, labels)

    def generate(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 256,
    ) -> Any:
        """See `Backend.generate`."""
        return self._switched().generate(messages, schema=schema, max_tokens=max_tokens)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Backend.embed`."""
        return self._switched().embed(texts)

    def count_tokens(self, text: str) -> int:
        """See `Backend.count_tokens`; no adapter changes a tokenizer."""
        return self._backend.count_tokens(text)

    def use(self, adapter: str | None) -> None:
        """Pin another adapter; it is put in force at the next call."""
        self.adapter = adapter

    def close(self) -> None:
        """Close the shared backend, for all who use it."""
        self._backend.close()
