"""Answers in text or JSON: kept to a schema as far as the server can, thoughts off, refusals told."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from llmrec_prompt.backends.base import Message
from llmrec_prompt.backends.chat import PLAIN, render_chat
from llmrec_prompt.backends.openai.client import Call
from llmrec_prompt.backends.openai.probe import keeping_to
from llmrec_prompt.backends.openai.record import Record
from llmrec_prompt.backends.openai.replies import answer_text, choice, refusal
from llmrec_prompt.errors import AnswerError, BackendError

NO_PENALTY: Mapping[str, dict[str, float]] = {
    "llama-server": {"repeat_penalty": 1.0},
    "llama-cpp-python": {"repeat_penalty": 1.0},
    "vllm": {"repetition_penalty": 1.0},
}
"""What keeps a server from holding repetition against a list, by its tokenizer. llama-cpp-python
does so with 1.1 unless told not to, the others as they were started, or as the model's own settings say."""
SHOWN = 80
"""Characters of an answer that a message shows."""


def call(
    record: Record,
    named: Mapping[str, Any],
    messages: Sequence[Message],
    schema: Mapping[str, Any] | None,
    limit: int,
) -> Call:
    """A conversation to be answered; as plain text where the server has no chats."""

    def check(reply: Any) -> None:
        if not choice(reply):
            raise BackendError(f"The server of {record.model} answered without an answer.")

    options: dict[str, Any] = {"temperature": 0} if record.temperature else {}
    options |= NO_PENALTY.get(record.tokenizer, {})
    if not record.chat:
        prompt = "".join(text for text, _ in render_chat(PLAIN, messages))
        return Call("/completions", {**named, "prompt": prompt, "max_tokens": limit, **options}, check)
    body = {**named, "messages": list(messages), record.limit: limit, **options, **record.extra}
    if schema is not None:
        body |= keeping_to(record, schema)
    return Call("/chat/completions", body, check)


def answer(reply: Any, ref: str, wants_json: bool) -> Any:
    """The text, or the parsed object.

    Raises:
        AnswerError: the model refused, was cut off, or wrote no JSON.
    """
    said = refusal(reply)
    if said:
        raise AnswerError(f"{ref} refused: {said[:SHOWN]!r}.", kind="refused", text="")
    text = answer_text(reply)
    cut = choice(reply).get("finish_reason") == "length"
    if text.startswith("<think>") or (cut and not text):
        raise AnswerError(
            f"{ref} was still thinking when its room was used up. Raise thinking_tokens.", kind="cut_off"
        )
    if not wants_json:
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        kind, why = ("cut_off", "was cut off") if cut else ("not_json", "is no JSON")
        raise AnswerError(f"The answer of {ref} {why}: {text[:SHOWN]!r}.", kind=kind, text=text) from error
