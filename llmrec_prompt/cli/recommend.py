"""`llmrec recommend` and `llmrec rank`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from llmrec_prompt.backends import DEFAULT_MODEL
from llmrec_prompt.cli import options as o
from llmrec_prompt.cli.output import errors, print_matches, print_ranking, progress
from llmrec_prompt.cli.prompts import HISTORY, QUESTION, reads
from llmrec_prompt.data import Dataset, read_candidates_file
from llmrec_prompt.data.files import read_lines
from llmrec_prompt.errors import DataError
from llmrec_prompt.recommender import Recommender
from llmrec_prompt.types import Ranking

Typed = Annotated[
    list[str] | None, typer.Option("--candidates", help="A title or id; repeat it.", metavar="TITLE")
]
Listed = Annotated[
    Path | None,
    typer.Option(
        "--candidates-file",
        help="One title or id a line; or an evaluation's file, of which --user's line is taken.",
        metavar="FILE",
    ),
]


def recommend(
    data: o.Data,
    user: o.User = None,
    history: o.History = None,
    k: Annotated[int, typer.Option("-k", help="How many recommendations.")] = 10,
    domain: o.DomainName = None,
    model: o.Model = DEFAULT_MODEL,
    adapter: o.Adapter = None,
    mode: o.Mode = "auto",
    explain: o.Explain = False,
    retrieve: o.Retrieved = 60,
    consumed: Annotated[bool, typer.Option("--consumed", help="Allow what the user has already.")] = False,
    language: o.Language = None,
    embedder: o.Embedder = "auto",
    prompts: o.Prompts = None,
    hosted: o.UseHosted = False,
    base_url: o.BaseUrl = None,
    hosted_settings: o.HostedSettings = None,
    seed: o.Seed = 0,
    as_json: o.AsJson = False,
    verbose: o.Verbose = False,
) -> None:
    """Recommend from the whole catalogue.

    Example: `llmrec recommend --data sample:movies --history "The Matrix" --history Alien -k 5`
    """
    settings: dict[str, Any] = {"language": language, "embedder": embedder, "prompts": prompts, "seed": seed}
    settings["hosted"] = o.leave(hosted, base_url, hosted_settings)
    rec = Recommender(
        data, domain=domain, model=model, mode=mode, adapter=adapter, candidates=retrieve, **settings
    )
    show_matches(rec, history := known(history, user))
    with progress():
        ranking = rec.recommend(history, user=user, k=k, explain=explain, exclude_consumed=not consumed)
    show_prompt(rec, history, user, verbose)
    print_ranking(ranking, as_json=as_json)
    if explain:
        say_why_without(ranking, len(rec.history(history, user=user)))


def rank(
    data: o.Data,
    candidates: Typed = None,
    candidates_file: Listed = None,
    user: o.User = None,
    history: o.History = None,
    domain: o.DomainName = None,
    model: o.Model = DEFAULT_MODEL,
    adapter: o.Adapter = None,
    mode: o.Mode = "auto",
    explain: o.Explain = False,
    language: o.Language = None,
    embedder: o.Embedder = "auto",
    prompts: o.Prompts = None,
    hosted: o.UseHosted = False,
    base_url: o.BaseUrl = None,
    hosted_settings: o.HostedSettings = None,
    seed: o.Seed = 0,
    as_json: o.AsJson = False,
    verbose: o.Verbose = False,
) -> None:
    """Rank given candidates: a full scored order.

    Example: `llmrec rank --data sample:movies --history Alien --candidates Solaris --candidates Amélie`
    """
    settings: dict[str, Any] = {"language": language, "embedder": embedder, "prompts": prompts, "seed": seed}
    settings["hosted"] = o.leave(hosted, base_url, hosted_settings)
    rec = Recommender(data, domain=domain, model=model, mode=mode, adapter=adapter, **settings)
    show_matches(rec, history := known(history, user))
    chosen = read_candidates(candidates, candidates_file, rec.dataset, user)
    show_matches(rec, chosen, near=False)
    with progress():
        ranking = rec.rank(history, candidates=chosen, user=user, explain=explain)
    show_prompt(rec, history, user, verbose)
    print_ranking(ranking, as_json=as_json)
    if explain:
        say_why_without(ranking, len(rec.history(history, user=user)))


def known(history: list[str] | None, user: str | None) -> list[str] | None:
    """The typed history; where neither that nor a user is given, one of whom nothing is known."""
    return history or ([] if user is None else None)


def say_why_without(ranking: Ranking, seen: int) -> None:
    """Why no line has reasons, where none has."""
    if not any(line.reasons for line in ranking.recommendations):
        why = "no history item raises the score of any of them"
        if seen < 2:
            why = "they come of leaving history items out one by one, which takes two"
        errors.print(f"No reasons: {why}.", style="yellow")


def show_matches(rec: Recommender, texts: list[str] | None, *, near: bool = True) -> None:
    """Tell on stderr which items typed texts stand for.

    Raises:
        DataError: a text is empty, or was typed in an encoding that is not UTF-8.
    """
    for text in texts or ():
        if not text.strip():
            raise DataError("An empty text is no item. Give a title or an id.")
        if text != text.encode(errors="replace").decode():
            raise DataError(f"{text!r} is not UTF-8. Set the terminal to UTF-8.")
    print_matches(rec.match(texts or [], near=near))


def read_candidates(
    typed: list[str] | None, file: Path | None, dataset: Dataset, user: str | None
) -> list[str]:
    """Candidates from options and from a file: of one a line, or the user's in a file that lists users.

    Raises:
        DataError: there are none, or the file cannot be read.
    """
    lines = [text.strip() for _, text in read_lines(file)] if file else []
    if file and lines and ("\t" in lines[0] or lines[0].startswith('{"')):
        lists = read_candidates_file(file, dataset)
        if user not in lists:
            said = "no user is given" if user is None else f"it has no line of user {user!r}"
            raise DataError(f"{file} lists candidates by user, and {said}. Give --user, or one title a line.")
        lines = [*lists[user]]
    found = [*(typed or []), *lines]
    if not found and file:
        raise DataError(f"{file} has no candidates. Write one title or id a line.")
    if not found:
        raise DataError("There are no candidates to rank. Give --candidates or --candidates-file.")
    return found


def show_prompt(rec: Recommender, history: list[str] | None, user: str | None, verbose: bool) -> None:
    """The exact prompt on stderr, if asked for; of a mode that reads another one or none, that it does."""
    if not verbose:
        return
    if (what := reads(rec.mode)) != HISTORY:
        look = f"asks about candidates: see llmrec prompts show --mode {rec.mode}"
        errors.print(f"Mode {rec.mode} {look if what == QUESTION else 'reads no prompt'}.")
    else:
        errors.print(rec.prompt(history, user=user).text, soft_wrap=True)
