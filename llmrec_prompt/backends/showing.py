"""A backend that shows the first question it is asked, for people who want to see the prompt."""

from collections.abc import Mapping, Sequence
from typing import Any

from llmrec_prompt.backends.base import Backend, Choice, Message
from llmrec_prompt.backends.pinned import PinnedBackend
from llmrec_prompt.errors import LlmrecError


class Shown(LlmrecError):
    """What would have been asked: prompts of one batch, byte for byte."""

    def __init__(self, prompts: Sequence[str]) -> None:
        super().__init__(f"{len(prompts)} prompts were shown, not asked.")
        self.prompts = list(prompts)


class ShowingBackend(PinnedBackend):
    """The same backend without an adapter; it embeds and scores, but does not choose and generate.

    Raises:
        Shown: instead of an answer.
    """

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend, None)

    def choose(self, prompts: Sequence[str], labels: Sequence[str]) -> list[Choice]:
        """Shows the prompts."""
        raise Shown(prompts)

    def generate(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 256,
    ) -> Any:
        """Shows the messages."""
        raise Shown([message["content"] for message in messages])
