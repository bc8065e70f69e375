"""`llmrec models list | show` and `llmrec doctor`."""

import importlib.metadata
import os
import platform
import time
from typing import Annotated, Any

import typer

from llmrec_prompt import __version__
from llmrec_prompt.backends import DEFAULT_MODEL, Hosted, ScoreRequest, load_backend, parse_ref
from llmrec_prompt.backends.models import HOSTED, PACKAGED
from llmrec_prompt.cache import cache_dir
from llmrec_prompt.cli import options as o
from llmrec_prompt.cli.output import console, print_json, print_rows
from llmrec_prompt.errors import LlmrecError, MissingExtra

app = typer.Typer(no_args_is_help=True, help="Models: what is here, what each can do.")
FORMS = (
    ("llama:PATH.gguf", "any GGUF file, through llama.cpp", "local"),
    ("hf:FOLDER_OR_HUB_ID[@revision]", "transformers: a folder, a hub id, a GGUF file", "hf"),
    ("openai:MODEL", "any OpenAI-compatible server (--base-url); only with --hosted", "openai"),
    ("fake:constant | random | overlap | oracle:DATA", "no model; for tests", ""),
)
PACKAGES = (
    "llama-cpp-python",
    "torch",
    "transformers",
    "peft",
    "sentence-transformers",
    "gguf",
    "llguidance",
    "pyarrow",
    "openai",
)


@app.command("list")
def list_(as_json: o.AsJson = False) -> None:
    """Packaged models and the forms of a model reference. Example: `llmrec models list`."""
    rows = [[name, model.licence, model.extra, installed(name)] for name, model in PACKAGED.items()]
    if as_json:
        keys = ("model", "licence", "extra", "installed")
        print_json([dict(zip(keys, row, strict=True)) for row in rows])
        return
    print_rows(["model", "licence", "extra", "installed"], rows)
    console.print()
    print_rows(["reference", "what it loads", "extra"], [list(form) for form in FORMS])


def installed(name: str) -> bool:
    """Whether a packaged model's files are here."""
    try:
        return PACKAGED[name].locate().is_file()
    except MissingExtra:
        return False


@app.command()
def show(
    model: Annotated[str, typer.Argument(envvar="LLMREC_MODEL", help="A model reference.")] = DEFAULT_MODEL,
    hosted: o.UseHosted = False,
    base_url: o.BaseUrl = None,
    hosted_settings: o.HostedSettings = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Probe a server anew.")] = False,
    as_json: o.AsJson = False,
) -> None:
    """Load a model and say what it can do and how fast; of a server, what it was found to give.

    Example: `llmrec models show smollm2`
    """
    leave = o.leave(hosted, base_url, hosted_settings, refresh=refresh)
    facts = served(model, leave) if parse_ref(model).kind == HOSTED else probe(model)
    if as_json:
        print_json(facts)
    else:
        print_rows(
            ["", ""],
            [[k.replace("_", " "), ", ".join(v) if isinstance(v, list) else v] for k, v in facts.items()],
        )


def served(model: str, leave: Hosted | None) -> dict[str, Any]:
    """The record of a server: nothing but a probe's own words has been sent."""
    backend = load_backend(model, hosted=leave)
    record = backend.record  # type: ignore[attr-defined]
    facts = record.model_dump(exclude={"version", "missing", "place"})
    remarks = {"model": record.missing.get("model", ""), **record.remarks}
    facts |= {"can": sorted(record.can), **{f"{name}: found": why for name, why in remarks.items()}}
    backend.close()
    return {name: value for name, value in facts.items() if value not in ("", (), {}, 0) or value is False}


def probe(model: str) -> dict[str, Any]:
    """Load a model and time a typical request: one history, twenty titles."""
    start = time.monotonic()
    backend = load_backend(model)
    loaded = time.monotonic()
    prompt = "Movies that a viewer watched, in order:\n" + "".join(
        f"A film called number {n}\n" for n in range(10)
    )
    backend.score([ScoreRequest(prompt, [f"Another film called {n}\n" for n in range(20)])])
    seconds = time.monotonic() - loaded
    info = backend.info
    return {
        "model": info.ref,
        "hash": info.hash,
        "engine": info.engine,
        "context": info.context,
        "dimensions": info.dimensions,
        "can": sorted(info.can),
        "load_seconds": round(loaded - start, 2),
        "tokens_per_second": round(backend.usage.evaluated / max(seconds, 1e-9)),
    }


def doctor(as_json: o.AsJson = False) -> None:
    """What is installed, what works here, how fast it is. Example: `llmrec doctor`."""
    mine = os.environ.get("LLMREC_MODEL") or DEFAULT_MODEL
    facts: dict[str, Any] = {
        "llmrec_prompt": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "cache": str(cache_dir()),
        "packages": {name: version(name) for name in PACKAGES},
        "models": {name: attempt(name) for name in dict.fromkeys((mine, "fake:overlap"))},
    }
    if as_json:
        print_json(facts)
        return
    print_rows(["", ""], [[key, facts[key]] for key in ("llmrec_prompt", "python", "machine", "cache")])
    console.print()
    print_rows(["package", "version"], [[n, v or "not installed"] for n, v in facts["packages"].items()])
    console.print()
    rows = [
        [name, f.get("error") or f"{f['engine']}, {f['tokens_per_second']} tokens/s"]
        for name, f in facts["models"].items()
    ]
    print_rows(["model", "what happened"], rows)


def version(package: str) -> str | None:
    """An installed package's version."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def attempt(model: str) -> dict[str, Any]:
    """What probing a model gives, or why it cannot be probed."""
    try:
        return probe(model)
    except LlmrecError as error:
        return {"error": str(error)}
