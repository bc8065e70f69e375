"""A conversation in a model's own chat format, in pieces that say what is format and what is content.

Contents are tokenised without special parsing, so no message can open or close a turn.
"""

import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jinja2.exceptions import TemplateError as JinjaError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llmrec_prompt.backends.base import Message
from llmrec_prompt.errors import AnswerError, BackendError

PLAIN = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"


def render_chat(template: str, messages: Sequence[Message]) -> Iterator[tuple[str, bool]]:
    r"""Yield (text, is_content) pieces of the rendered conversation, in order.

    A model without a chat template (a base model) gets one `role: content` line a message. Contents are
    put in place of random marks after rendering: the model's template, which is not ours, never sees them.

    >>> list(render_chat("", [{"role": "user", "content": "Hi"}]))
    [('user: ', False), ('Hi', True), ('\nassistant:', False)]

    Raises:
        BackendError: the model's chat template cannot be rendered.
    """
    marks = [f"\x02{secrets.token_hex(8)}\x03" for _ in messages]
    marked = [{"role": m["role"], "content": mark} for m, mark in zip(messages, marks, strict=True)]
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = _refuse
    try:
        text = environment.from_string(template or PLAIN).render(
            messages=marked, add_generation_prompt=True, bos_token="", eos_token=""
        )
    except JinjaError as error:
        raise BackendError(f"The model's chat template refuses this conversation: {error}") from error
    for message, mark in zip(messages, marks, strict=True):
        before, found, text = text.partition(mark)
        if not found:
            raise BackendError(f"The model's chat template loses the {message['role']!r} message.")
        yield before, False
        yield message["content"], True
    yield text, False


def _refuse(message: str) -> None:
    raise JinjaError(message)


def conversation_tokens(
    template: str, messages: Sequence[Message], tokenize: Callable[..., list[int]]
) -> list[int]:
    """The conversation in the model's chat format; message contents never make control tokens.

    Args:
        template: the model's, see `render_chat`.
        messages: the conversation.
        tokenize: the token ids of a text; `special` reads control tokens in it, `bos` puts one first.
    """
    tokens: list[int] = []
    for text, is_content in render_chat(template, messages):
        tokens += tokenize(text, special=not is_content, bos=not tokens)
    return tokens


def parse_object(text: str, max_tokens: int) -> Any:
    """The JSON value in a model's answer.

    Raises:
        AnswerError: it was cut off or is no JSON.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise AnswerError(
            f"The model's answer is no complete JSON in {max_tokens} tokens: {text[:80]!r}. Allow more.",
            kind="cut_off",
            text=text,
        ) from error
