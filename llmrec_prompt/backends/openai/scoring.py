"""Log-likelihoods from a server that gives back the log-probabilities of a prompt's own tokens."""

from collections.abc import Mapping, Sequence
from typing import Any

from llmrec_prompt.backends.base import Score, split_tokens
from llmrec_prompt.backends.openai.client import Call
from llmrec_prompt.backends.openai.record import Record
from llmrec_prompt.backends.openai.replies import Echo, echoed, prompt_echo
from llmrec_prompt.errors import BackendError


def call(record: Record, named: Mapping[str, Any], text: str) -> Call:
    """A text whose own tokens are to be scored."""
    ask = {"prompt_logprobs": 0} if record.echo == "prompt_logprobs" else {"echo": True, "logprobs": 1}
    body = {**named, "prompt": text, "max_tokens": record.echo_tokens, "temperature": 0, **ask}
    return Call("/completions", body, lambda reply: _check(record, reply))


def _check(record: Record, reply: Any) -> None:
    """Every token but the first has a number; what is missing is never taken for zero."""
    echo = _echo(record, reply)
    if not echo or any(value is None for _, value in echo[1:]):
        raise BackendError(
            f"The server of {record.model} left log-probabilities of a prompt out, so it cannot be scored "
            "(a value above 0 is none). Probe it anew (llmrec models show --refresh)."
        )


def _echo(record: Record, reply: Any) -> Echo:
    return prompt_echo(reply) if record.echo == "prompt_logprobs" else echoed(reply)


def scores(record: Record, replies: Sequence[Any]) -> list[Score]:
    """Scores of the continuations, from the prompt's own reply and those of prompt and continuation.

    As in the local backends a continuation is scored from where its tokens leave the prompt's.
    """
    if not replies:
        return []
    prompt, *wholes = [_echo(record, reply) for reply in replies]
    numbers: dict[str, int] = {}
    ids = [[numbers.setdefault(token, len(numbers)) for token, _ in echo] for echo in (prompt, *wholes)]
    split = split_tokens(ids[0], ids[1:])
    return [
        Score(sum(value for _, value in echo[start:] if value is not None), len(echo) - start)
        for echo, start in zip(wholes, split.starts, strict=True)
    ]
