"""Finding out what a server really gives: every capability is shown by a reply, none is believed.

Prompts are counting words, so that a likely token's log-probability is known from two sides: as the likeliest
next token, and as the echo's value for the same token. An echo that is off by one, or the silence of a server
that ignores a field it does not know, is seen so.
"""

import datetime
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmrec_prompt.backends.grammar import gbnf
from llmrec_prompt.backends.openai import replies
from llmrec_prompt.backends.openai.failures import without_login
from llmrec_prompt.backends.openai.record import Record, place_of
from llmrec_prompt.backends.openai.serverside import LLAMA, served_adapters, tokenizer_of
from llmrec_prompt.errors import BackendError

if TYPE_CHECKING:
    from llmrec_prompt.backends.openai.client import Client

log = logging.getLogger(__name__)
COUNTED = "one two three four five six seven eight"
NEXT = " nine"
TOPS = (100, 20, 5)
"""How many likeliest tokens are asked for; the first number that is answered stays."""
TOLERANCE = 0.1
"""Nats, or this share of the value: what one token's log-probability may differ by from call to call."""
SURE = 7041
"""A number that no model says unless it is kept to it."""
ROOM = 64
"""Tokens for an answer that is to hold it, blanks included."""
SCHEMA = {
    "type": "object",
    "properties": {"number": {"type": "integer", "enum": [SURE]}},
    "required": ["number"],
    "additionalProperties": False,
}
LISTED = 5
"""Models of a server that a message names."""
HELLO = [{"role": "user", "content": "Say hello."}]
JSON_HELLO = [{"role": "user", "content": 'Say hello as JSON, such as {"say": "hello"}.'}]
QUIET: tuple[dict[str, Any], ...] = (
    {"chat_template_kwargs": {"enable_thinking": False}},
    {"reasoning_effort": "none"},
)
"""Ways to have a model answer at once: vLLM, SGLang and llama-server; OpenAI."""


def probe(client: "Client", model: str, ref: str) -> Record:
    """Ask a server what it gives for a model.

    Raises:
        BackendError: it cannot be reached, refuses the key, or answers to nothing.
    """
    log.info("Finding out what %s gives.", ref)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    found = _Findings(client, model)
    found.facts |= {"place": place_of(client.base_url, model), "model": model, "probed_at": now}
    found.facts["base_url"] = without_login(client.base_url)
    found.models()
    found.completions()
    found.echo()
    found.prompt_logprobs()
    found.chat()
    found.chat_top()
    found.schema()
    found.embeddings()
    found.facts |= {"tokenizer": tokenizer_of(client, model)}
    found.grammar()
    if not any(found.facts.get(name) for name in ("completions", "chat", "dimensions")):
        raise BackendError(
            f"{ref} at {without_login(client.base_url)} answers neither completions, chats nor embeddings. "
            f"{found.missing.get('chat', '')} {_advice(client.base_url, found.missing.get('model', ''))}"
        )
    if other := found.missing.get("model"):
        log.warning("%s: %s. Another model may be answering under this name.", ref, other)
    return Record(**found.facts, missing=found.missing)


def _advice(base_url: str, other: str) -> str:
    """What to look at where nothing is answered."""
    ends = "" if base_url.endswith("/v1") else " (it usually ends in /v1)"
    return f"Check --base-url{ends} and the model's name{f': {other}' if other else ''}."


class _Findings:
    """Facts found so far, and why others are missing."""

    def __init__(self, client: "Client", model: str) -> None:
        self._client, self._model = client, model
        self.facts: dict[str, Any] = {}
        self.missing: dict[str, str] = {}

    def _ask(self, path: str, **body: Any) -> tuple[Any, str]:
        return self._client.attempt(path, {"model": self._model, **body})

    def _complete(self, prompt: str, **body: Any) -> tuple[Any, str]:
        return self._ask("/completions", **{"prompt": prompt, "max_tokens": 1, "temperature": 0, **body})

    def models(self) -> None:
        """Who serves, how long a context, which adapters."""
        reply, _ = self._client.attempt("/models")
        rows = reply.get("data") if isinstance(reply, Mapping) else None
        rows = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
        own = next((row for row in rows if row.get("id") == self._model), rows[0] if len(rows) == 1 else {})
        if other := not_listed(self._model, [str(row["id"]) for row in rows if row.get("id")]):
            self.missing["model"] = other
        meta = own.get("meta")
        meta = meta if isinstance(meta, Mapping) else {}
        sizes = [own.get("max_model_len"), meta.get("n_ctx"), own.get("context_length")]
        self.facts["context"] = next((size for size in sizes if type(size) is int and size > 0), 0)
        self.facts["server"] = str(own.get("owned_by") or "")
        self.facts |= served_adapters(self._client, rows)

    def completions(self) -> None:
        """Raw prompts, and how many likeliest tokens are shown after one."""
        reply, why = self._complete(COUNTED)
        self.facts["completions"] = isinstance(replies.choice(reply).get("text"), str)
        if not self.facts["completions"]:
            self.missing["completions"] = self.missing["completions_top"] = why or "no text came back"
            return
        top = self._widest("completions_top", lambda n: self._complete(COUNTED, logprobs=n))
        self.facts["completions_top"] = len(top)
        self._next = dict(top).get(NEXT.encode())

    _next: float | None = None
    """Log-probability of the token that goes on counting, as it was shown among the likeliest."""

    def _widest(self, name: str, ask: Callable[[int], tuple[Any, str]]) -> replies.Top:
        why = ""
        for count in TOPS:
            reply, why = ask(count)
            top = replies.first_top(reply)
            if len(top) > 1:
                return top
            why = why or "the server answered without log-probabilities"
        self.missing[name] = why
        return []

    def echo(self) -> None:
        """The prompt's own tokens by `echo`, with no token generated if that can be had."""
        for generated in (0, 1):
            reply, why = self._complete(COUNTED + NEXT, echo=True, logprobs=1, max_tokens=generated)
            why = why or self._misaligned(replies.echoed(reply))
            if not why:
                self.facts |= {"echo": "echo", "echo_tokens": generated}
                return
        self.missing["echo"] = why

    def prompt_logprobs(self) -> None:
        """The same by vLLM's field."""
        if self.facts.get("echo"):
            return
        reply, why = self._complete(COUNTED + NEXT, prompt_logprobs=0)
        why = why or self._misaligned(replies.prompt_echo(reply))
        if why:
            self.missing["prompt_logprobs"] = why
        else:
            self.facts |= {"echo": "prompt_logprobs", "echo_tokens": 1}

    def _misaligned(self, echo: replies.Echo) -> str:
        """What is wrong with an echo of counting; empty if its last value is the one already known."""
        if not echo or any(value is None for _, value in echo[1:]):
            return "the server answered without the prompt's log-probabilities"
        if self._next is None:
            return "its values cannot be checked, for the likeliest tokens are not shown"
        value = echo[-1][1]
        if value is None or abs(value - self._next) > max(TOLERANCE, TOLERANCE * abs(self._next)):
            shown = "none" if value is None else f"{value:.2f}"
            return (
                f"its values are wrong (misaligned by a token, it seems): {NEXT!r} has {shown} "
                f"in the echo and {self._next:.2f} as next token"
            )
        return ""

    def chat(self) -> None:
        """Chats: what the token limit is called, whether temperature is taken, whether the model thinks."""
        why = ""
        for limit in ("max_tokens", "max_completion_tokens"):
            for options in ({"temperature": 0}, {}):
                reply, why = self._ask("/chat/completions", messages=HELLO, **{limit: 16}, **options)
                if isinstance(replies.choice(reply).get("message"), Mapping):
                    self.facts |= {"chat": True, "limit": limit, "temperature": bool(options)}
                    self._settle_thinking(reply)
                    return
        self.facts["chat"] = False
        self.missing["chat"] = self.missing["chat_top"] = why or "no message came back"

    def _settle_thinking(self, reply: Any) -> None:
        if not replies.thinks(reply):
            return
        for extra in QUIET:
            again, _ = self._chat(HELLO, 16, **extra)
            if replies.choice(again) and not replies.thinks(again):
                self.facts["extra"] = extra
                return
        self.facts["thinks"] = True

    def _chat(self, messages: Any, limit: int, **body: Any) -> tuple[Any, str]:
        options = {"temperature": 0} if self.facts["temperature"] else {}
        extra = self.facts.get("extra", {})
        whole = {self.facts["limit"]: limit, **options, **extra, **body}
        return self._ask("/chat/completions", messages=messages, **whole)

    def chat_top(self) -> None:
        """How many likeliest tokens are shown at the start of an answer."""
        if not self.facts["chat"]:
            return
        if self.facts.get("thinks"):
            self.missing["chat_top"] = "the model thinks first, so its first token is no answer"
            return
        for extra in self._quiet_ways():
            ask = lambda n, e=extra: self._chat(HELLO, 1, logprobs=True, top_logprobs=n, **e)  # noqa: E731
            top = self._widest("chat_top", ask)
            if top:
                self.facts |= {"chat_top": len(top), "extra": {**self.facts.get("extra", {}), **extra}}
                self.missing.pop("chat_top", None)
                return

    def _quiet_ways(self) -> Iterator[dict[str, Any]]:
        """As it is; then without reasoning, which some models want before they show log-probabilities."""
        yield {}
        if "extra" not in self.facts:
            yield QUIET[1]

    def schema(self) -> None:
        """How an answer can be kept to a schema: by a number that is said only if it is."""
        if not self.facts["chat"]:
            self.missing["schema"] = "the server has no chats"
            return
        why = ""
        for form in ("json_schema", "json_object_schema"):
            body = response_format(form, SCHEMA)
            reply, why = self._chat(HELLO, self._room(), response_format=body)
            if _object(reply) == {"number": SURE}:
                self.facts["schema_form"] = form
                return
        reply, _ = self._chat(JSON_HELLO, self._room(), response_format=response_format("json_object", {}))
        if isinstance(_object(reply), dict):
            self.facts["schema_form"] = "json_object"
        self.missing["schema"] = why or "the server ignores the schema"

    def grammar(self) -> None:
        """Whether our own grammar is kept to; only llama.cpp's servers are asked, others refuse the field."""
        if self.facts.get("schema_form") and self.facts["tokenizer"] in LLAMA:
            reply, _ = self._chat(HELLO, self._room(), grammar=gbnf(SCHEMA))
            self.facts["grammar"] = replies.answer_text(reply) == json.dumps({"number": SURE})

    def _room(self) -> int:
        return ROOM * 32 if self.facts.get("thinks") else ROOM

    def embeddings(self) -> None:
        """Vectors of texts, if they differ."""
        reply, why = self._ask("/embeddings", input=["one", "another"], encoding_format="float")
        vectors = replies.vectors(reply, 2)
        if len(vectors) == 2 and vectors[0] != vectors[1]:
            self.facts["dimensions"] = len(vectors[0])
        else:
            self.missing["embeddings"] = why or "no vector for each text came back"


def not_listed(model: str, listed: Sequence[str]) -> str:
    """In words that a server lists other models; empty where it lists this one, or none.

    >>> not_listed("tiny", ["small"]), not_listed("tiny", ["tiny:latest"]), not_listed("tiny", [])
    ('the server lists small, not tiny', '', '')
    """
    # Ollama lists `tiny:latest` and takes `tiny` for it too.
    names = ((name, name.rpartition("/")[2], name.removesuffix(":latest")) for name in listed)
    if not listed or any(model in known for known in names):
        return ""
    more = f" and {len(listed) - LISTED} more" if len(listed) > LISTED else ""
    return f"the server lists {', '.join(listed[:LISTED])}{more}, not {model}"


def keeping_to(record: Record, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a chat's body that keep its answer to a schema, as this server knows them."""
    grammar = gbnf(schema) if record.grammar else None
    if grammar:
        return {"grammar": grammar}
    return {"response_format": response_format(record.schema_form, schema)}


def response_format(form: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The field that keeps an answer to a schema, in one of the forms servers know."""
    if form == "json_schema":
        named = {"name": "answer", "strict": True, "schema": schema}
        return {"type": "json_schema", "json_schema": named}
    if form == "json_object_schema":
        return {"type": "json_object", "schema": schema}
    return {"type": "json_object"}


def _object(reply: Any) -> Any:
    try:
        return json.loads(replies.answer_text(reply))
    except ValueError:
        return None
