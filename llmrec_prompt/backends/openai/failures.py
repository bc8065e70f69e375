"""What went wrong on the way to a server, in this library's words. No message holds a key."""

import contextlib
import logging
import os
import re
from functools import cache
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import openai

from llmrec_prompt.errors import BackendError, ConfigError, ContextOverflow, LlmrecError

logger = logging.getLogger(__name__)
KEY = "OPENAI_API_KEY"
BASE_URL = "OPENAI_BASE_URL"
SECRET = re.compile(r"(?i)\b(bearer\s+\S+|sk-[\w*-]+)")
LOCAL = ("127.0.0.1", "::1", "localhost")
NOT_A_LIMIT = (401, 403, 408, 409, 429)
"""Statuses that say nothing of what a server can do."""
UNAVAILABLE = 503
NO_CREDIT = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
"""Codes of a 429 that is no rate limit: nothing is left to pay with, and waiting does not help."""
MESSAGE = 240
"""Characters of a server's message that are shown."""


def require_key(ref: str, base_url: str | None) -> str | None:
    """The key for the SDK: None lets it take its own; a server on this machine needs none.

    Raises:
        ConfigError: there is none, and the server is another machine; or the URL has no scheme.
    """
    place = base_url or os.environ.get(BASE_URL) or "https://"
    _check_scheme(place)
    if key := os.environ.get(KEY):
        parts = urlsplit(place)
        if key != "none" and parts.scheme == "http" and parts.hostname not in LOCAL:
            _warn_of_plain_http(parts.hostname or "")
        return None
    if base_url and urlsplit(base_url).hostname in LOCAL:
        return "none"
    raise ConfigError(f"{ref} needs a key: set {KEY}. (For a server that asks for none, set it to 'none'.)")


@cache
def _warn_of_plain_http(host: str) -> None:
    """Once a host: what is sent there, the key with it, can be read on the way."""
    logger.warning("The key in %s goes to %s over http://, unencrypted; use https:// if you can.", KEY, host)


def _check_scheme(base_url: str) -> None:
    if not base_url.startswith(("http://", "https://")):
        place = base_url.rpartition("@")[2]
        raise ConfigError(f"The base URL {place!r} does not begin with http:// or https://: add it.")


def without_login(base_url: str) -> str:
    """A URL as messages show it.

    >>> without_login("http://me:secret@127.0.0.1:8000/v1?key=secret")
    'http://127.0.0.1:8000/v1'
    """
    parts = urlsplit(base_url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def kind_of(error: Exception) -> str:
    """The name of an error in the ledger."""
    if isinstance(error, openai.APIStatusError):
        return str(error.status_code)
    if isinstance(error, openai.APITimeoutError):
        return "timeout"
    if isinstance(error, openai.APIConnectionError):
        return "connection"
    if isinstance(error, LlmrecError):
        return "unusable"
    return "malformed"


def is_out_of_credit(error: Any) -> bool:
    """Whether an error object of a server says that there is nothing left to pay with."""
    names = [str(error.get(field)) for field in ("code", "type")] if isinstance(error, dict) else []
    return not NO_CREDIT.isdisjoint(names)


def spare_retries(response: Any) -> None:
    """Have the SDK not try again where that cannot help: it takes every 429 for a rate limit."""
    if response.status_code == 429:
        with contextlib.suppress(ValueError):
            found = response.json()
            if isinstance(found, dict) and is_out_of_credit(found.get("error")):
                response.headers["x-should-retry"] = "false"


def is_missing(error: Exception) -> bool:
    """Whether an error says that the server does not do what it was asked for."""
    if isinstance(error, openai.APIStatusError):
        return error.status_code not in (*NOT_A_LIMIT, UNAVAILABLE)
    return isinstance(error, ValueError)


def explain(error: Exception, ref: str, attempts: int, place: str, timeout: float) -> BackendError:
    """The error to raise instead.

    Args:
        error: of the SDK.
        ref: the reference the user gave.
        attempts: how often the call was sent.
        place: the base URL.
        timeout: seconds of one attempt.
    """
    at = without_login(place)
    if told := ours(error, ref, at):
        return told
    tries = f" after {attempts} attempts" if attempts > 1 else ""
    if isinstance(error, openai.APIStatusError):
        return explain_status(error.status_code, error.body or error.message, ref, tries)
    if isinstance(error, openai.APITimeoutError):
        return BackendError(
            f"The server of {ref} at {at} did not answer in time{tries}: {timeout:g} s an attempt, `timeout` "
            "of the hosted settings.",
            retryable=True,
        )
    if isinstance(error, openai.APIConnectionError):
        cause = without_secrets(str(error.__cause__ or error)).rstrip(".")
        return BackendError(f"Cannot reach the server of {ref}{tries} at {at}: {cause}.", retryable=True)
    if isinstance(error, ValueError):
        return BackendError(f"The server of {ref} answered no JSON: {type(error).__name__}.", retryable=True)
    return BackendError(f"Calling {ref} failed: {type(error).__name__}: {without_secrets(str(error))}")


def ours(error: Exception, ref: str, at: str) -> BackendError | None:
    """What `AttemptClient` refused: a reply, or to follow a redirect; None for any other error."""
    for one in (error, error.__cause__):
        if isinstance(one, BackendError):  # openai 2 wraps whatever its client raises
            return one
    if not isinstance(error, openai.APIStatusError) or error.status_code >= 400:
        return None
    target = re.sub("//[^/]*@", "//", error.response.headers.get("location", "").partition("?")[0])
    return BackendError(
        f"The server of {ref} at {at} sends requests on to {target[:MESSAGE] or 'another place'}. Nothing "
        "was sent there: if that is where it is, make it the base URL."
    )


def explain_status(status: int, body: Any, ref: str, tries: str = "") -> BackendError:
    """The same for a status and what came with it: an error object, or a text."""
    overflow = _overflow(body) if status in (400, 413) else None
    message = (body.get("message") if isinstance(body, dict) else None) or str(body)
    said = without_secrets(message)[:MESSAGE] + _advice(status)
    return overflow or BackendError(
        f"The server of {ref} answered {status}{tries}: {said}",
        retryable=(status in (408, 409, 429) or status >= 500) and not is_out_of_credit(body),
    )


def _advice(status: int) -> str:
    """What to do about a key that the server did not take."""
    if status != 401:
        return ""
    if os.environ.get(KEY):
        return f" (The key in {KEY} was refused.)"
    return f" (No key was sent: set {KEY}.)"


def without_secrets(text: str) -> str:
    """A message on one line, without the key or what looks like one."""
    key = os.environ.get(KEY)
    if key:
        text = text.replace(key, "[key]")
    return " ".join(SECRET.sub("[key]", text).split())


def _overflow(body: Any) -> ContextOverflow | None:
    """From llama-server's fields, or from the two numbers that OpenAI's and vLLM's messages hold."""
    if not isinstance(body, dict):
        return None
    needed, available = body.get("n_prompt_tokens"), body.get("n_ctx")
    if isinstance(needed, int) and isinstance(available, int):
        return ContextOverflow(needed, available)
    text = str(body.get("message", ""))
    if "context" not in text.casefold():
        return None
    limit = re.search(r"(?:maximum context length|context (?:size|window|length))\D{0,20}(\d+)", text)
    asked = re.search(r"(?:requested|resulted in|contains at least|has)\D{0,20}(\d+)", text)
    return ContextOverflow(int(asked[1]), int(limit[1])) if limit and asked else None
