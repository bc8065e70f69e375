"""`llmrec data inspect | convert`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from llmrec_prompt.cli import options as o
from llmrec_prompt.cli.output import console, errors, print_json, print_rows
from llmrec_prompt.data import Cleaning, Dataset, write_two_file
from llmrec_prompt.data.clean import cleaning_of
from llmrec_prompt.data.dataset import read_named
from llmrec_prompt.data.readers import KINDS, kind_of
from llmrec_prompt.data.samples import SAMPLE
from llmrec_prompt.data.writers import check_room, remove_others
from llmrec_prompt.errors import DataError, UnknownName

app = typer.Typer(no_args_is_help=True, help="Data sets: what they hold, what cleaning drops and why.")


def cleaning(preference: str, k_core: int) -> Cleaning:
    """Cleaning from option texts: a rule's name or a number."""
    try:
        return Cleaning(preference=float(preference), k_core=k_core)
    except ValueError:
        return Cleaning(preference=preference, k_core=k_core)  # type: ignore[arg-type]


Preference = Annotated[
    str | None,
    typer.Option(
        help="Try when a rating counts as liked: auto, none, user-mean or a threshold such as 3.5; "
        "as meta.json says by default, else auto."
    ),
]
KCore = Annotated[
    int | None, typer.Option("--k-core", help="Try to keep users and items with so many rows alone.")
]


@app.command()
def inspect(
    folder: Annotated[str, typer.Argument(help="Folder of a data set, or sample:NAME.", metavar="DIR")],
    preference: Preference = None,
    k_core: KCore = None,
    as_json: o.AsJson = False,
) -> None:
    """What a data set holds and what cleaning drops. Example: `llmrec data inspect sample:movies`."""
    raw, tried = read_named(folder), None
    if preference is not None or k_core is not None:
        said = cleaning_of(raw.meta)  # what is not tried stays as it is
        rule = str(said.preference) if preference is None else preference
        tried = cleaning(rule, said.k_core if k_core is None else k_core)
    dataset = Dataset.from_raw(raw, cleaning=tried)
    facts = describe(dataset)
    if as_json:
        print_json({**facts, "cleaning": dataset.report.as_dict()})
        return
    print_rows(["", ""], [[key.replace("_", " "), value] for key, value in facts.items()], title=dataset.name)
    rows = [
        [s.name, s.rows_before, s.rows_after, ", ".join(f"{why}: {n}" for why, n in s.why.items() if n)]
        for s in dataset.report.steps
    ]
    console.print()
    print_rows(["cleaning step", "rows before", "rows after", "dropped"], rows)
    for note, value in dataset.report.notes.items():
        console.print(f"{note}: {value}", style="dim")
    for remark in dataset.report.remarks:
        console.print(remark, style="dim", soft_wrap=True)
    if tried is not None:
        block = json.dumps({"cleaning": asdict(tried)})
        errors.print(f"For all commands to clean so, put into meta.json: {block}", soft_wrap=True)


def describe(dataset: Dataset) -> dict[str, Any]:
    """The figures worth knowing about a data set."""
    lengths = np.array([len(dataset.history(user)) for user in dataset.users] or [0])
    items = dataset.items
    return {
        "name": dataset.name,
        "domain": dataset.domain,
        "items": len(items),
        "users": len(dataset.users),
        "liked": int(lengths.sum()),
        "history_median": float(np.median(lengths)),
        "history_longest": int(lengths.max()),
        "items_never_liked": int((dataset.popularity() == 0).sum()),
        "with_categories": sum(bool(i.categories) for i in items),
        "with_description": sum(bool(i.description) for i in items),
        "with_creator": sum(bool(i.creator) for i in items),
        "licence": str(dataset.meta.get("licence", "")),
        "fingerprint": dataset.fingerprint,
    }


@app.command()
def convert(
    kind: Annotated[str, typer.Argument(help=f"What it is: auto, {', '.join(KINDS)}.")],
    source: Annotated[str, typer.Argument(help="Folder to read.", metavar="IN")],
    target: Annotated[Path, typer.Argument(help="Folder to write.", metavar="OUT")],
    force: Annotated[bool, typer.Option("--force", help="Take the place of a data set in OUT.")] = False,
    as_json: o.AsJson = False,
) -> None:
    """Write a data set in the two-file form. Example: `llmrec data convert movielens ml-1m/ my-movies/`."""
    if kind not in ("auto", *KINDS):
        raise UnknownName("kind of data set", kind, ["auto", *KINDS])
    if kind != "auto" and (found := _kind(source)) != kind:
        raise DataError(f"{source} is a data set of kind {found!r}, not {kind!r}. Say {found} or auto.")
    dataset = Dataset.load(source, cleaning=Cleaning(preference="none"))
    check_room(target, source, force=force)
    write_two_file(dataset, target)
    remove_others(target, dataset)
    if as_json:
        print_json({"folder": str(target), "items": len(dataset.items), "users": len(dataset.users)})
        return
    console.print(f"{len(dataset.items)} items and {len(dataset.users)} users written to {target}.")


def _kind(source: str) -> str:
    """What a folder is; sample sets are in our own form."""
    return "two-file" if source.startswith(SAMPLE) else kind_of(Path(source))
