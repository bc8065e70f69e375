"""The user's leave to send prompts to a server, and how it is to be done. Without it nothing is sent."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from llmrec_prompt.backends.openai.privacy import FIELDS, Redactor
from llmrec_prompt.cache import offline
from llmrec_prompt.errors import ConfigError, LlmrecError
from llmrec_prompt.reading import read_yaml

BATCHED = 1000
"""Users whose calls go into one batch: each is a thread that waits."""


SECRET = re.compile(r"(?i)key|secret|password|token")
"""Names under which somebody would write a key."""


class Hosted(BaseModel):
    """Leave to use a server. The key comes from `OPENAI_API_KEY` and from nowhere else.

    Raises:
        ConfigError: by `Hosted.load`, for a file that cannot be meant.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str | None = None
    """Where the API is, with its `/v1`; `$OPENAI_BASE_URL`, else OpenAI's own, if None."""
    weights: str | None = None
    """Reference of the local model whose weights the server is known to serve, so that adapters fit:
    `hf:FOLDER`, `llama:FILE.gguf` or a packaged model."""
    concurrency: int = Field(default=8, ge=1)
    """Most calls under way at once."""
    timeout: float = Field(default=120.0, gt=0)
    """Seconds of one attempt."""
    retries: int = Field(default=6, ge=0)
    """Further attempts of a call, made by the SDK, which waits as `Retry-After` says."""
    budget_tokens: int | None = Field(default=None, ge=0)
    """Most tokens, sent and answered, of this backend; no call is made that could pass it."""
    budget_money: float | None = Field(default=None, ge=0)
    """The same in money, by `prices`."""
    prices: Path | None = None
    """A YAML file of prices a million tokens; see docs/hosted.md."""
    ledger: Path | None = None
    """A JSONL file that gets a line a call; probes have none."""
    fields: tuple[str, ...] = FIELDS
    """Item fields that templates may show; all others are kept back."""
    redact: tuple[str, ...] = ()
    """Further regular expressions whose matches are taken out, after e-mail, card and phone numbers."""
    thinking_tokens: int = Field(default=4096, ge=0)
    """Room for the thoughts of a model that thinks before it answers."""
    batch: bool = False
    """Send calls by OpenAI's Batch API: for less, answered within a day. Probes are still made at once."""
    batch_poll: float = Field(default=30.0, gt=0)
    """Seconds between two looks at a batch."""
    refresh: bool = False
    """Probe the server anew, and use no answer, prior or vector that is remembered from before."""
    preview: bool = False
    """Send nothing: the first calls are raised as `Previewed`."""

    @property
    def at_once(self) -> int:
        """How many rankings may be under way: for a batch, those of many users."""
        return BATCHED if self.batch else self.concurrency

    @field_validator("fields")
    @classmethod
    def _with_title(cls, fields: tuple[str, ...]) -> tuple[str, ...]:
        if "title" not in fields:
            raise ValueError("title must be among them: it is what an item is known by")
        return fields

    @field_validator("redact")
    @classmethod
    def _patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        Redactor(patterns)
        return patterns

    @classmethod
    def load(cls, path: Path | None, **changes: Any) -> "Hosted":
        """Read a YAML file with these fields, changed by what is given and not None.

        Raises:
            ConfigError: the file cannot be read, or a value cannot be meant.
        """
        values = _read(path) if path else {}
        values |= {name: value for name, value in changes.items() if value is not None}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            found = "; ".join(_fault(e) for e in error.errors(include_input=False))
            raise ConfigError(f"Hosted settings{f' of {path}' if path else ''}: {found}.") from error


def _fault(error: Mapping[str, Any]) -> str:
    """What is wrong with a setting; its value is not shown, since it may be a key."""
    name = ".".join(map(str, error["loc"]))
    if error["type"] != "extra_forbidden":
        return f"{name}: {error['msg']}"
    if close := get_close_matches(name, Hosted.model_fields, n=1):
        return f"unknown key {name!r} (did you mean {close[0]!r}?)"
    if SECRET.search(name):
        return f"{name!r} is no setting: a server's key comes from the environment alone, as OPENAI_API_KEY"
    return f"unknown key {name!r}; there are {', '.join(Hosted.model_fields)}"


def _read(path: Path) -> dict[str, Any]:
    values = read_yaml(path, ConfigError, f"hosted settings {path}")
    if not isinstance(values, Mapping):
        raise ConfigError(f"Hosted settings {path}: write one `name: value` a line.")
    return dict(values)


class Previewed(LlmrecError):
    """What would have been sent: pairs of path and body, byte for byte."""

    def __init__(self, calls: list[tuple[str, bytes]]) -> None:
        super().__init__(f"{len(calls)} calls were shown, not made. Leave out preview to make them.")
        self.calls = calls


_allowed: ContextVar[Hosted | None] = ContextVar("hosted", default=None)


@contextmanager
def hosting(hosted: Hosted | None) -> Iterator[None]:
    """Allow hosted models inside the block; None allows nothing."""
    token = _allowed.set(hosted)
    try:
        yield
    finally:
        _allowed.reset(token)


def permitted(ref: str, given: Hosted | None = None) -> Hosted:
    """The leave to use a hosted model: what is given, else that of the block around.

    Raises:
        ConfigError: `LLMREC_OFFLINE` is set, or nobody has allowed it.
    """
    if offline():
        raise ConfigError(
            f"Model {ref!r} is on a server, and LLMREC_OFFLINE forbids the network. Use a local model."
        )
    hosted = given or _allowed.get()
    if hosted is None:
        raise ConfigError(
            f"Model {ref!r} is on a server: titles of histories and candidates would leave this machine. "
            "Allow it with --hosted, or hosted=Hosted(...) in Python; see docs/hosted.md."
        )
    return hosted
