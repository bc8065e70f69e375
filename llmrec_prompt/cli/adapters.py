"""`llmrec adapters list | show | add | remove | verify | export`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from llmrec_prompt.adapters import (
    Adapter,
    Card,
    add,
    count_users,
    find,
    find_served,
    list_adapters,
    read_users,
    remove,
    require_sound,
    verify,
)
from llmrec_prompt.backends import load_backend, parse_ref
from llmrec_prompt.backends.exporting import export_twin, llama_server_line, vllm_line
from llmrec_prompt.backends.models import PACKAGED
from llmrec_prompt.cli import options as o
from llmrec_prompt.cli.output import console, errors, print_json, print_rows, remark
from llmrec_prompt.errors import AdapterError, ConfigError

app = typer.Typer(no_args_is_help=True, help="Adapters: what there is, whether it is sound, how to serve it.")

Name = Annotated[
    str, typer.Argument(help="A name, a domain, a folder, or a hub id org/name[@revision].", metavar="NAME")
]


@app.command("list")
def list_(as_json: o.AsJson = False) -> None:
    """All adapters that are found by name or domain. Example: `llmrec adapters list`."""
    found = list_adapters()
    if as_json:
        print_json([summary(adapter) for adapter in found.values()])
        return
    if not found:
        errors.print("No adapter yet. Train one with `llmrec adapt train`, or add one.")
        return
    columns = ["name", "domain", "base", "mode", "objective", "created"]
    print_rows(columns, [[summary(adapter)[column] for column in columns] for adapter in found.values()])
    for adapter in found.values():
        line = f"{adapter.card.name}, in {adapter.folder}: {adapter.card.licence}"
        console.print(line, style="dim", soft_wrap=True)


def summary(adapter: Adapter) -> dict[str, Any]:
    """What a list shows of an adapter."""
    card = adapter.card
    return {
        "name": card.name,
        "domain": card.domain,
        "base": card.base.ref,
        "mode": card.mode,
        "objective": card.objective,
        "licence": card.licence,
        "r": card.lora.r,
        "created": None if card.created is None else card.created.isoformat(),
        "weights_hash": card.weights_hash,
        "folder": str(adapter.folder),
    }


@app.command()
def show(name: Name, as_json: o.AsJson = False) -> None:
    """The card of an adapter: base, data, licence, metrics. Example: `llmrec adapters show movies`."""
    adapter = find_served(name)
    facts = {"folder": str(adapter.folder), "users_trained_on": count_users(read_users(adapter.folder))}
    facts |= adapter.card.model_dump(mode="json", exclude_none=True)
    if as_json:
        print_json(facts)
    else:
        print_rows(["", ""], [[key.replace("_", " "), value] for key, value in rows(facts)])


def rows(facts: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested facts as rows; lists in one line, nothing that is empty."""
    found: list[tuple[str, Any]] = []
    for key, value in facts.items():
        if isinstance(value, dict):
            found += rows(value, f"{prefix}{key} ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for part in value:
                found += rows(part, f"{prefix}{key} ")
        elif value not in ("", [], None):
            found.append((prefix + key, ", ".join(map(str, value)) if isinstance(value, list) else value))
    return found


@app.command("add")
def add_(
    source: Annotated[
        str, typer.Argument(help="A folder or a hub id org/name[@revision].", metavar="SOURCE")
    ],
    force: Annotated[bool, typer.Option("--force", help="Take the place of one of that name.")] = False,
    as_json: o.AsJson = False,
) -> None:
    """Verify an adapter and put a copy where commands find it. Example: `llmrec adapters add runs/mine`."""
    adapter = find(source)
    require_sound(adapter.folder)
    added = add(adapter, force=force)
    if as_json:
        print_json(summary(added))
    else:
        console.print(f"Added {added.card.name} in {added.folder}.")


@app.command("remove")
def remove_(
    name: Annotated[str, typer.Argument(help="Its name.", metavar="NAME")], as_json: o.AsJson = False
) -> None:
    """Delete an adapter that `add` put there. Example: `llmrec adapters remove mine`."""
    folder = remove(name)
    if as_json:
        print_json({"removed": name, "folder": str(folder)})
    else:
        console.print(f"Removed {name} from {folder}.")


@app.command("verify")
def verify_(
    name: Name,
    model: Annotated[str | None, typer.Option("--model", help="Also see that it fits this model.")] = None,
    as_json: o.AsJson = False,
) -> None:
    """Files, weights, card, templates; exit 1 if a check fails. Example: `llmrec adapters verify movies`."""
    folder = Path(name) if Path(name).is_dir() and "/" in name else find_served(name).folder
    base_hash = load_backend(model).info.hash if model else None
    checks = verify(folder, base_hash)
    if as_json:
        print_json([{"check": c.name, "ok": c.ok, "found": c.found} for c in checks])
    else:
        print_rows(["check", "", "found"], [[c.name, "ok" if c.ok else "FAILS", c.found] for c in checks])
    failed = [c.name for c in checks if not c.ok]
    if failed:
        raise AdapterError(f"{len(failed)} of {len(checks)} checks of {folder} fail: {', '.join(failed)}.")


@app.command()
def export(
    name: Name,
    gguf: Annotated[
        Path | None, typer.Option("--gguf", help="Write the GGUF twin here.", metavar="OUT")
    ] = None,
    vllm: Annotated[bool, typer.Option("--vllm", help="Print the vLLM command line.")] = False,
    llama_server: Annotated[bool, typer.Option("--llama-server", help="Print llama-server's.")] = False,
    model: Annotated[
        str | None, typer.Option("--model", help="The base; by default the one on the card.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Compare the twin with peft (needs [hf] and [local]).")
    ] = True,
    as_json: o.AsJson = False,
) -> None:
    """Serve an adapter elsewhere: its GGUF twin, checked against peft, and command lines.

    Example: `llmrec adapters export movies --gguf movies.gguf --llama-server`
    """
    if gguf is None and not vllm and not llama_server:
        raise ConfigError("Say what to export: --gguf OUT.gguf, --vllm or --llama-server.")
    adapter = find(name)
    base = model or base_on(adapter.card)
    result: dict[str, Any] = {}
    if gguf is not None:
        then = ", then both engines load the base and are compared" if check else ""
        remark(f"Writing {gguf}{then} …")
        parity = export_twin(adapter, base, gguf, check=check)
        result |= {"gguf": str(gguf), "check": None if parity is None else parity.as_dict()}
    if vllm:
        result["vllm"] = vllm_line(adapter, base)
    if llama_server:
        result["llama_server"] = llama_server_line(adapter, base, gguf)
    if as_json:
        print_json(result)
    else:
        print_export(result)


def base_on(card: Card) -> str:
    """The base that a card names.

    Raises:
        ConfigError: it lay on the machine that trained, and only its name is known.
    """
    target = parse_ref(card.base.ref).target
    known = card.base.hub or target in PACKAGED or "/" in target or Path(target).exists()
    if not known:
        raise ConfigError(
            f"Adapter {card.name!r} was trained on a model on disk, {card.base.ref}. Say where it is: "
            "--model hf:FOLDER or --model llama:FILE.gguf."
        )
    return card.base.ref


def print_export(result: dict[str, Any]) -> None:
    """The file and how far the engines agree on stderr, command lines on stdout."""
    if "gguf" in result:
        errors.print(f"Written to {result['gguf']}.")
        found = result["check"]
        if found is None:
            errors.print("Not compared with peft.", style="yellow")
        else:
            errors.print(
                f"llama.cpp against peft: scores differ by {found['score_gap']:.4f} nats at most (allowed "
                f"{found['tolerance']:.3f}; the bases differ by {found['base_gap']:.4f}, the adapter makes "
                f"{found['effect']:.2f}), cosine of states {found['cosine']:.6f} at least (allowed "
                f"{found['least_cosine']:.4f}).",
                soft_wrap=True,
            )
    for key in ("vllm", "llama_server"):
        if key in result:
            console.print(result[key], soft_wrap=True)
