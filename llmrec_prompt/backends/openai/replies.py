"""Reading replies. Two shapes of log-probabilities are about, and either may come where it is not expected.

The legacy shape of completions: `{tokens, token_logprobs, top_logprobs: [{token: value}]}`; that of chats:
`{content: [{token, bytes, logprob, top_logprobs: […]}]}`, which llama-server gives for completions too. What
is missing is missing, and so is a value that is no log-probability: nothing here puts a number in its place.
"""

import re
import sys
from collections.abc import Mapping
from typing import Any, TypeGuard

from llmrec_prompt.backends.openai.ledger import Tokens

Top = list[tuple[bytes, float]]
Echo = list[tuple[str, float | None]]
ESCAPED = re.compile(r"\\x([0-9a-f]{2})")
CERTAIN = 1e-3
"""A log-probability is 0 at most, give or take how a server rounds."""
THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)


def choice(reply: Any) -> Mapping[str, Any]:
    """The first choice of a reply; empty if there is none."""
    choices = reply.get("choices") if isinstance(reply, Mapping) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, Mapping) else {}


def tokens_of(reply: Any) -> Tokens | None:
    """What a reply says it cost; None if it does not."""
    usage = reply.get("usage") if isinstance(reply, Mapping) else None
    if not isinstance(usage, Mapping) or _count(usage, "prompt_tokens") is None:
        return None
    details = usage.get("prompt_tokens_details")
    sent = _count(usage, "prompt_tokens") or 0
    cached = _count(details, "cached_tokens") if isinstance(details, Mapping) else 0
    return Tokens(sent, _count(usage, "completion_tokens") or 0, min(cached or 0, sent))


def _count(usage: Mapping[str, Any], name: str) -> int | None:
    value = usage.get(name)
    return value if isinstance(value, int) and value >= 0 else None


def first_top(reply: Any) -> Top:
    """The likeliest first tokens as bytes, with log-probabilities; empty if they are not there."""
    found = choice(reply).get("logprobs")
    if not isinstance(found, Mapping):
        return []
    content, legacy = found.get("content"), found.get("top_logprobs")
    if isinstance(content, list) and content and isinstance(content[0], Mapping):
        entries = content[0].get("top_logprobs") or []
        return [pair for entry in entries if (pair := _pair(entry))]
    if isinstance(legacy, list) and legacy and isinstance(legacy[0], Mapping):
        return [(_bytes(token), value) for token, value in legacy[0].items() if _is_logprob(value)]
    return []


def _pair(entry: Any) -> tuple[bytes, float] | None:
    if not isinstance(entry, Mapping) or not _is_logprob(entry.get("logprob")):
        return None
    raw, token = entry.get("bytes"), entry.get("token")
    if isinstance(raw, list) and all(type(b) is int and 0 <= b < 256 for b in raw):
        return bytes(raw), entry["logprob"]
    return (_bytes(token), entry["logprob"]) if isinstance(token, str) else None


def _bytes(token: str) -> bytes:
    r"""A token's bytes; OpenAI writes one that is no text as `bytes:\xe2\x80`."""
    if token.startswith("bytes:"):
        return bytes(int(pair, 16) for pair in ESCAPED.findall(token))
    return token.encode("utf-8", "surrogatepass")


def _is_logprob(value: Any) -> TypeGuard[float]:
    return _is_number(value) and value <= CERTAIN


def _is_number(value: Any) -> TypeGuard[float]:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max  # not by isfinite: JSON has whole numbers of any size


def echoed(reply: Any) -> Echo:
    """The prompt's tokens with log-probabilities (None for the first); empty if they are not there.

    Generated tokens behind them are cut off by the count of the prompt's in `usage`.
    """
    found = choice(reply).get("logprobs")
    if not isinstance(found, Mapping):
        return []
    tokens, values = found.get("tokens"), found.get("token_logprobs")
    if not isinstance(tokens, list) or not isinstance(values, list) or len(tokens) != len(values):
        return []
    usage = tokens_of(reply)
    count = usage.sent if usage else len(tokens)
    pairs = [(str(t), v if _is_logprob(v) else None) for t, v in zip(tokens, values, strict=True)]
    return pairs[:count]


def prompt_echo(reply: Any) -> Echo:
    """The same from vLLM's `prompt_logprobs`: a mapping of one token id a position, null for the first."""
    found = choice(reply).get("prompt_logprobs")
    if not isinstance(found, list):
        return []
    return [_only(position) for position in found]


def _only(position: Any) -> tuple[str, float | None]:
    if not isinstance(position, Mapping) or len(position) != 1:
        return "", None
    ((token, entry),) = position.items()
    value = entry.get("logprob") if isinstance(entry, Mapping) else entry
    return str(token), value if _is_logprob(value) else None


def answer_text(reply: Any) -> str:
    """The text of an answer with what the model thought aloud before it taken off."""
    found = choice(reply)
    message = found.get("message")
    text = message.get("content") if isinstance(message, Mapping) else found.get("text")
    return THOUGHT.sub("", text, count=1).strip() if isinstance(text, str) else ""


def thinks(reply: Any) -> bool:
    """Whether the answer begins with thoughts, in its text or beside it."""
    message = choice(reply).get("message")
    if not isinstance(message, Mapping):
        return False
    beside = message.get("reasoning_content") or message.get("reasoning")
    return bool(beside) or str(message.get("content") or "").lstrip().startswith("<think>")


def refusal(reply: Any) -> str:
    """Why the model refused; empty if it did not."""
    found = choice(reply)
    message = found.get("message")
    said = message.get("refusal") if isinstance(message, Mapping) else None
    return str(said or ("filtered" if found.get("finish_reason") == "content_filter" else ""))


def vectors(reply: Any, count: int) -> list[list[float]]:
    """The vectors of an embeddings reply, in the order of their inputs; empty if one is missing."""
    rows = reply.get("data") if isinstance(reply, Mapping) else None
    found: dict[int, list[float]] = {}
    for row in rows if isinstance(rows, list) else []:
        vector = row.get("embedding") if isinstance(row, Mapping) else None
        if isinstance(vector, list) and vector and all(map(_is_number, vector)):
            found[row.get("index")] = vector
    return [found[i] for i in range(count)] if found.keys() == set(range(count)) else []
