"""What servers have beside OpenAI's API: tokenizers, and adapters loaded with the model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmrec_prompt.adapters.card import WEIGHTS
from llmrec_prompt.backends.openai.record import Record
from llmrec_prompt.cache import file_hash
from llmrec_prompt.errors import AdapterError

if TYPE_CHECKING:  # nothing here needs the SDK that a client imports
    from llmrec_prompt.backends.openai.client import Client

TOKENIZERS: Mapping[str, tuple[str, str]] = {
    "llama-server": ("/tokenize", "content"),
    "vllm": ("/tokenize", "prompt"),
    "llama-cpp-python": ("/extras/tokenize", "input"),
}
"""Path after the server's root, and the field that holds the text."""
LLAMA = ("llama-server", "llama-cpp-python")
"""Tokenizers of servers that run llama.cpp."""


def tokenizer_of(client: "Client", model: str) -> str:
    """Which tokenizer a server has; empty if none."""
    for kind in TOKENIZERS:
        if _tokens(client, kind, model, "one two") is not None:
            return kind
    return ""


def count_tokens(client: "Client", kind: str, model: str, text: str) -> int | None:
    """How many tokens the server's tokenizer makes of a text; None if it does not say."""
    return _tokens(client, kind, model, text) if text else 0


def _tokens(client: "Client", kind: str, model: str, text: str) -> int | None:
    path, field = TOKENIZERS[kind]
    options = {"model": model, "add_special_tokens": False} if kind == "vllm" else {}
    reply, _ = client.attempt(f"{client.root}{path}", {field: text, **options})
    tokens = reply.get("tokens") if isinstance(reply, Mapping) else None
    return len(tokens) if isinstance(tokens, list) and tokens else None


def served_adapters(client: "Client", models: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How adapters are chosen and which there are: vLLM lists them as models with a parent."""
    named = [str(row.get("id")) for row in models if row.get("parent")]
    if named:
        return {"lora": "model", "adapters": tuple(named)}
    reply, _ = client.attempt(f"{client.root}/lora-adapters")
    rows = reply if isinstance(reply, list) else []
    files = [str(row.get("path")) for row in rows if isinstance(row, Mapping) and row.get("path")]
    return {"lora": "request", "adapters": tuple(files)} if files else {}


def served_now(client: "Client", record: Record) -> tuple[str, ...]:
    """The adapters by now. Names stay what they were; ids are another's if a server was started otherwise.

    Raises:
        BackendError: it cannot be reached.
    """
    if record.lora != "request":
        return record.adapters
    found: tuple[str, ...] = served_adapters(client, ()).get("adapters", ())
    return found


def find_served(record: Record, adapter: str) -> int:
    """The place in `record.adapters` of a name, a folder or a file.

    What the server calls it comes first, then the hash of the folder's weights, after which GGUF twins in the
    cache are named, then the name of a file or folder alone.

    Raises:
        AdapterError: the server does not have it, or has several of that name.
    """
    weights, served = Path(adapter) / WEIGHTS, record.adapters
    digest = file_hash(weights) if weights.is_file() else ""
    same = [place for place, name in enumerate(served) if name == adapter][:1]
    twins = [place for place, name in enumerate(served) if digest and Path(name).name.startswith(digest)]
    alike = [place for place, name in enumerate(served) if _names(name) & _names(adapter)]
    found = same or twins or alike
    if len(found) == 1:
        return found[0]
    if found:
        could = ", ".join(served[place] for place in found)
        raise AdapterError(
            f"The server of {record.model} has several adapters that {adapter!r} could be: {could}. "
            "Give one of these as it stands here."
        )
    have = ", ".join(served) or "none"
    raise AdapterError(
        f"The server of {record.model} has no adapter {adapter!r}; it has: {have}. Start it with that "
        "adapter (`llmrec adapters export` prints how), then probe anew: llmrec models show --refresh."
    )


def _names(adapter: str) -> set[str]:
    """The last part of a path, with and without `.gguf`; no other end is cut off: `games-1.5` is a name."""
    name = Path(adapter).name
    return {name, name.removesuffix(".gguf")}
