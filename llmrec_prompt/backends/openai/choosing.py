"""Labels read off the likeliest next tokens, which are all that a server shows."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from llmrec_prompt.backends.base import Choice
from llmrec_prompt.backends.openai.client import Call
from llmrec_prompt.backends.openai.record import Record
from llmrec_prompt.backends.openai.replies import first_top
from llmrec_prompt.errors import BackendError


def call(record: Record, named: Mapping[str, Any], prompt: str) -> Call:
    """A prompt whose next token is asked for: raw where the server takes raw prompts, else as a chat."""

    def check(reply: Any) -> None:
        if not first_top(reply):
            raise BackendError(
                f"The server of {record.model} answered without log-probabilities, so no label can be read "
                "(a value above 0 is none). Probe it anew (llmrec models show --refresh)."
            )

    if record.completions_top > 1:
        ask = {"prompt": prompt, "max_tokens": 1, "temperature": 0, "logprobs": record.completions_top}
        return Call("/completions", {**named, **ask, **_going_on(record)}, check)
    temperature = {"temperature": 0} if record.temperature else {}
    body = {
        **named,
        "messages": [{"role": "user", "content": prompt}],
        record.limit: 1,
        **temperature,
        **record.extra,
        "logprobs": True,
        "top_logprobs": record.chat_top,
    }
    return Call("/chat/completions", body, check)


def _going_on(record: Record) -> dict[str, int]:
    """llama-cpp-python shows nothing where the model would rather end. This changes no value."""
    return {"min_tokens": 1} if record.tokenizer == "llama-cpp-python" else {}


def chosen(record: Record, reply: Any, labels: Sequence[str]) -> Choice:
    """The labels' share; one that is not shown is at most as likely as the least likely token that is.

    At the start of a chat's answer a label may stand with or without its space: both are the label.
    """
    top = first_top(reply)
    bare = record.completions_top <= 1
    found = [_logprob(top, {label, label.strip()} if bare else {label}) for label in labels]
    outside = frozenset(place for place, value in enumerate(found) if value is None)
    bound = min(value for _, value in top)
    values = np.array([bound if value is None else value for value in found], np.float64)
    values -= np.logaddexp.reduce(values)
    mass = math.fsum(math.exp(value) for value in found if value is not None)
    return Choice(tuple(values.tolist()), min(1.0, mass), outside)


def _logprob(top: Sequence[tuple[bytes, float]], spellings: set[str]) -> float | None:
    wanted = {spelling.encode() for spelling in spellings}
    values = [value for token, value in top if token in wanted]
    return float(np.logaddexp.reduce(values)) if values else None
