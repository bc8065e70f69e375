"""`llmrec prompts list | show | check` and `llmrec domain new`."""

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from llmrec_prompt.backends import DEFAULT_MODEL, load_backend
from llmrec_prompt.backends.openai import Previewed
from llmrec_prompt.backends.showing import ShowingBackend, Shown
from llmrec_prompt.cli import options as o
from llmrec_prompt.cli.output import console, counted, print_json, print_matches, print_rows
from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import ConfigError, LlmrecError, TemplateError
from llmrec_prompt.rank.modes import ASKING, parts_of
from llmrec_prompt.recommender import Recommender
from llmrec_prompt.scorers import SCORERS
from llmrec_prompt.templates import Prompter, list_domains, load_domain, new_domain
from llmrec_prompt.templates.prompter import LABELS
from llmrec_prompt.types import Item

app = typer.Typer(no_args_is_help=True, help="The prompts: what there is, what is sent, whether it works.")
domain_app = typer.Typer(no_args_is_help=True, help="Domains: a few words over the base templates.")

HISTORY, QUESTION, NOTHING = "history", "question", "nothing"
"""What modes read."""
PROBES = (
    Item(item_id="probe-1", title="A plain title", categories=("First", "Second"), creator="Somebody"),
    Item(item_id="probe-2", title="{{ 7 * 7 }}<|im_end|>\nSecond line\u200b"),
    Item(item_id="probe-3", title="Ünïcödé 書名 🎬", description="Text.", price=3.5, year="1999"),
)

Tried = Annotated[
    str | None,
    typer.Option("--data", help="Try the templates with the items of this data set.", metavar="DIR"),
]


@app.command("list")
def list_(prompts: o.Prompts = None, as_json: o.AsJson = False) -> None:
    """All domains, their languages and fingerprints. Example: `llmrec prompts list`."""
    rows = []
    for name, path in list_domains(prompts).items():
        domain = load_domain(name, prompts)
        fingerprint = Prompter(domain, prompts=prompts).fingerprint
        languages = [domain.language, *domain.words]
        rows.append({"domain": name, "version": domain.version, "languages": languages} | {
            "fingerprint": fingerprint, "path": str(path)
        })  # fmt: skip
    if as_json:
        print_json(rows)
    else:
        shown = [[r["domain"], r["version"], " ".join(r["languages"]), r["fingerprint"]] for r in rows]  # type: ignore[arg-type]
        print_rows(["domain", "version", "languages", "fingerprint"], shown)


@app.command()
def show(
    data: o.Data,
    user: o.User = None,
    history: o.History = None,
    domain: o.DomainName = None,
    model: o.Model = DEFAULT_MODEL,
    adapter: o.Adapter = None,
    language: o.Language = None,
    prompts: o.Prompts = None,
    mode: o.Mode = "auto",
    retrieve: o.Retrieved = 60,
    embedder: o.Embedder = "auto",
    hosted: o.UseHosted = False,
    base_url: o.BaseUrl = None,
    hosted_settings: o.HostedSettings = None,
    seed: o.Seed = 0,
    as_json: o.AsJson = False,
) -> None:
    """The exact prompt for a user or a typed history, with its token count.

    Modes that ask about candidates (label, listed, yes_no) are shown with their first question.

    With --hosted: byte for byte the first calls that `recommend` in this mode would make; nothing is sent.

    Example: `llmrec prompts show --data sample:movies --history Alien --history "The Matrix"`
    """
    settings: dict[str, Any] = {"domain": domain, "adapter": adapter, "mode": mode, "candidates": retrieve}
    settings |= {"language": language, "embedder": embedder, "prompts": prompts, "seed": seed}
    leave = o.leave(hosted, base_url, hosted_settings, preview=True)
    if leave is not None:
        preview(Recommender(data, model=model, hosted=leave, **settings), history, user, as_json=as_json)
        return
    asks = reads(mode)
    chosen: Any = ShowingBackend(load_backend(model)) if asks == QUESTION else model
    rec = Recommender(data, model=chosen, **settings)
    if asks == NOTHING:
        raise ConfigError(f"Mode {mode!r} reads no prompt. Give one that asks a model, such as likelihood.")
    if history and not as_json:
        print_matches(rec.match(history))
    text, facts = (question_of if asks == QUESTION else history_prompt_of)(rec, history or None, user)
    print_prompt(rec, text, facts, as_json=as_json)


def reads(mode: str) -> str:
    """What a mode reads: a prompt of the history, a question about candidates, or nothing.

    >>> reads("fused"), reads("encoder+listed"), reads("bm25+popularity")
    ('history', 'question', 'nothing')
    """
    parts = parts_of(mode) or (mode,)
    if any(part in ASKING for part in parts):
        return QUESTION
    return NOTHING if all(part in SCORERS for part in parts) else HISTORY


def history_prompt_of(
    rec: Recommender, history: list[str] | None, user: str | None
) -> tuple[str, dict[str, Any]]:
    """The prompt of a history, and how much of it is shown."""
    prompt = rec.prompt(history, user=user)
    return prompt.text, {"shown": prompt.shown, "dropped": prompt.dropped, "events": dict(prompt.events)}


def question_of(rec: Recommender, history: list[str] | None, user: str | None) -> tuple[str, dict[str, Any]]:
    """The first question that a recommendation asks, about the candidates of retrieval; how many it asks.

    Raises:
        ConfigError: it asked nothing.
    """
    try:
        rec.recommend(history, user=user)
    except Shown as shown:
        return shown.prompts[0], {"mode": rec.mode, "questions": len(shown.prompts)}
    raise ConfigError(f"Mode {rec.mode!r} asked the model nothing.")


def print_prompt(rec: Recommender, text: str, own: dict[str, Any], *, as_json: bool) -> None:
    """The prompt on stdout, what it is made of below it."""
    facts: dict[str, Any] = {
        "domain": rec.domain.name,
        "language": rec.prompter.domain.language,
        "fingerprint": rec.prompter.fingerprint_for(rec.mode),
        "model": rec.backend.info.ref,
        "tokens": rec.backend.count_tokens(text),
        "context": rec.backend.info.context,
        **own,
    }
    if as_json:
        print_json({"prompt": text, **facts})
        return
    end = "" if text.endswith("\n") else "\n"
    console.print(text, end=end, soft_wrap=True)
    console.rule()
    console.print(", ".join(f"{k} {v}" for k, v in facts.items()), style="dim")


def preview(rec: Recommender, history: list[str] | None, user: str | None, *, as_json: bool) -> None:
    """Print the first calls that a recommendation makes: a line with the path, then the body as it is.

    Raises:
        ConfigError: the model is local, or the mode asks no model.
    """
    try:
        rec.recommend(history or None, user=user)
    except Previewed as shown:
        if as_json:
            print_json([{"path": path, "body": json.loads(body)} for path, body in shown.calls])
            return
        for path, body in shown.calls:
            sys.stdout.write(f"POST {path}\n{body.decode()}\n")
        return
    raise ConfigError("Nothing would be sent: this mode or model asks no server. Give --model openai:MODEL.")


@app.command()
def check(
    domain: Annotated[str | None, typer.Argument(help="A domain or a domain.yaml; all by default.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Also check token boundaries with it.")] = None,
    data: Tried = None,
    prompts: o.Prompts = None,
    as_json: o.AsJson = False,
) -> None:
    """Render every template with awkward items; exit 1 if one fails.

    With --data: with the items of that data set, whose own fields templates may show; by default its domain.

    Example: `llmrec prompts check`
    """
    backend = load_backend(model) if model else None
    dataset = Dataset.load(data) if data else None
    everything = list(list_domains(prompts)) if dataset is None else [dataset.domain]
    items = PROBES if dataset is None else dataset.items
    results = [check_domain(name, prompts, backend, items) for name in ([domain] if domain else everything)]
    if as_json:
        print_json(results)
    else:
        rows = [
            [r["domain"], "ok" if r["ok"] else "FAILS", r["problem"] or counted(r["events"])] for r in results
        ]
        print_rows(["domain", "", "problem or events"], rows)
    if failures := [r["domain"] for r in results if not r["ok"]]:
        raise TemplateError(f"{len(failures)} of {len(results)} domains fail: {', '.join(failures)}.")


def check_domain(name: str, prompts: Path | None, backend: Any, items: Sequence[Item]) -> dict[str, Any]:
    """Whether a domain can be rendered in all its languages, the problem if not, events of its own one."""
    events: list[Counter[str]] = []
    problem = ""
    try:
        domain = load_domain(name, prompts)
        for language in [domain.language, *domain.words]:
            prompter = Prompter(domain, language=language, prompts=prompts, catalogue=items)
            events.append(check_prompter(prompter, backend, items))
    except LlmrecError as error:
        problem = str(error)
    return {
        "domain": name,
        "ok": not problem,
        "problem": problem,
        "events": dict(events[0]) if events else {},
    }


def check_prompter(prompter: Prompter, backend: Any, items: Sequence[Item] = PROBES) -> Counter[str]:
    """Render all there is to render; with a backend, see that prompt and line keep their own tokens.

    Returns:
        What was counted in the lines and texts of the items.

    Raises:
        TemplateError: a template fails, breaks a line, or merges tokens over the boundary.
    """
    events: Counter[str] = Counter()
    prompter.history(())
    shown = items[-prompter.domain.history :]
    prompt = prompter.history(shown)
    ask(prompter, shown)
    for item in items:
        line = prompter.continuation(item, events)
        prompter.about(item)
        prompter.item(item)
        if "\n" in line[:-1]:
            raise TemplateError(f"The line of item {item.title!r} has a line end inside.")
        if backend is not None:
            check_boundary(backend, prompt.text, line)
    return events


def ask(prompter: Prompter, items: Sequence[Item]) -> None:
    """Render the questions that the domain's language has templates for, about some of the items."""
    several = items[: len(LABELS)]
    for mode, about in (("yes_no", several[0]), ("label", several), ("listed", several)):
        if prompter.has(mode):
            getattr(prompter, mode)(items, about)


def check_boundary(backend: Any, prompt: str, line: str) -> None:
    """See that a line keeps its own tokens after a prompt.

    Raises:
        TemplateError: it does not.
    """
    apart = backend.count_tokens(prompt) + backend.count_tokens(line) - backend.count_tokens("")
    together = backend.count_tokens(prompt + line)
    if abs(apart - together) > 1:
        raise TemplateError(f"Prompt and line share tokens over the boundary ({apart} against {together}).")


@domain_app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Its name: lower-case letters, digits, - and _.")],
    noun: Annotated[str | None, typer.Option(help="One of its things: hostel.")] = None,
    nouns: Annotated[str | None, typer.Option(help="Several of them: hostels.")] = None,
    person: Annotated[str | None, typer.Option(help="Who chooses: traveller.")] = None,
    verb: Annotated[str | None, typer.Option(help="What they did: stayed at.")] = None,
    item: Annotated[str | None, typer.Option(help="Jinja template of an item's line.")] = None,
    data: Tried = None,
    folder: Annotated[Path, typer.Option(help="Where to write it.")] = Path("prompts"),
    force: Annotated[bool, typer.Option("--force", help="Write over an existing one.")] = False,
    as_json: o.AsJson = False,
) -> None:
    """Write a working domain.yaml.

    Example: `llmrec domain new hostels --noun hostel --person traveller --verb "stayed at"`
    """
    fields = {"noun": noun, "nouns": nouns, "person": person, "verb": verb, "item": item}
    with tempfile.TemporaryDirectory() as tried:  # what cannot be rendered is not written
        domain = load_domain(str(new_domain(name, Path(tried), force=True, **fields)))
        items = Dataset.load(data).items if data else PROBES
        own = folder if folder.is_dir() else None
        check_prompter(Prompter(domain, prompts=own, catalogue=items), None, items)
    path = new_domain(name, folder, force=force, **fields)
    if as_json:
        print_json({"domain": name, "path": str(path)})
        return
    console.print(path.read_text(encoding="utf-8"), end="")
    console.print(f"Written to {path}. Use it with --domain {name} in this folder, or --domain {path}.")
