"""What a server was found to give for a model, kept on disk for each base URL and model."""

import contextlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from llmrec_prompt.backends.base import Capability
from llmrec_prompt.cache import cache_dir, content_key, write_atomically

VERSION = 3
"""Of the probes: a record of another version is not believed."""


class Record(BaseModel):
    """Facts, each from a reply. What is not given is named in `missing` with the reason."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = VERSION
    base_url: str
    """Without a login: this is shown."""
    model: str
    place: str = ""
    """Name of its file, by the whole URL and the model."""
    probed_at: str = ""
    epoch: str = ""
    """Of the last probe that `refresh` asked for: what is remembered from before may be another model's."""
    server: str = ""
    """What the server says of itself in its list of models, such as `vllm`, `llamacpp`."""
    context: int = 0
    """Most tokens of one sequence, 0 if it does not say."""
    completions: bool = False
    chat: bool = False
    completions_top: int = 0
    """Likeliest tokens shown after a raw prompt."""
    chat_top: int = 0
    """Likeliest tokens shown at the start of a chat's answer."""
    echo: Literal["", "echo", "prompt_logprobs"] = ""
    """How log-probabilities of a prompt's own tokens are had."""
    echo_tokens: int = 0
    """Tokens that must be generated along with an echo."""
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: bool = True
    thinks: bool = False
    extra: dict[str, Any] = {}
    """Further fields of a chat's body that are needed, such as those that end thinking."""
    schema_form: Literal["", "json_schema", "json_object_schema", "json_object"] = ""
    """How an answer is kept to JSON."""
    grammar: bool = False
    """Whether an answer is kept to a GBNF grammar too, which leaves no blanks to choose."""
    dimensions: int = 0
    """Of embeddings."""
    tokenizer: Literal["", "llama-server", "llama-cpp-python", "vllm"] = ""
    lora: Literal["", "model", "request"] = ""
    """How an adapter is chosen: by the name of the model, or by a field of the request."""
    adapters: tuple[str, ...] = ()
    """What is served: names of models, or files in the order of their ids."""
    missing: dict[str, str] = {}

    @property
    def can(self) -> frozenset[Capability]:
        """What a backend on this server can do."""
        facts: dict[Capability, bool] = {
            "score": bool(self.echo),
            "choose": self.completions_top > 1 or self.chat_top > 1,
            "generate": self.chat or self.completions,
            "schema": bool(self.schema_form),
            "embed": self.dimensions > 0,
            "adapters": bool(self.lora),
        }
        return frozenset(name for name, there in facts.items() if there)

    @property
    def remarks(self) -> dict[Capability, str]:
        """How a capability falls short, or why it is not there."""
        found: dict[Capability, str] = {}
        if "score" not in self.can:
            found["score"] = "; ".join(self._why("echo", "prompt_logprobs"))
        if "choose" not in self.can:
            found["choose"] = "; ".join(self._why("completions_top", "chat_top"))
        elif self.completions_top <= 1:
            found["choose"] = (
                f"asked as a chat, of which the {self.chat_top} likeliest first tokens are shown"
            )
        if self.schema_form == "json_object":
            found["schema"] = "kept to JSON, not to the schema"
        elif not self.schema_form:
            found["schema"] = "; ".join(self._why("schema"))
        if "embed" not in self.can:
            found["embed"] = "; ".join(self._why("embeddings"))
        return {name: why for name, why in found.items() if why}

    def _why(self, *names: str) -> list[str]:
        return [f"{name}: {self.missing[name].rstrip('.')}" for name in names if name in self.missing]

    @property
    def path(self) -> Path:
        """Where it is kept."""
        return _path(self.place or place_of(self.base_url, self.model))

    def save(self) -> None:
        """Keep it; where the cache cannot be written it is probed anew next time."""
        with contextlib.suppress(OSError):
            write_atomically(self.path, self.model_dump_json(indent=2))

    @classmethod
    def known(cls, base_url: str, model: str) -> "Record | None":
        """The record on disk, if there is one that can be believed."""
        try:
            text = _path(place_of(base_url, model)).read_text(encoding="utf-8")
            found = cls.model_validate_json(text)
        except (OSError, UnicodeDecodeError, ValidationError):
            return None
        return found if found.version == VERSION else None


def last_epoch(base_url: str, model: str) -> str:
    """The epoch of the record on disk, of whatever version; empty if there is none."""
    try:
        found = json.loads(_path(place_of(base_url, model)).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(found.get("epoch", "")) if isinstance(found, dict) else ""


def place_of(base_url: str, model: str) -> str:
    """What the record of a server and a model is kept under. Another login may be shown another model."""
    return content_key(base_url, model)[:16]


def _path(place: str) -> Path:
    return cache_dir() / "hosted" / f"{place}.json"
