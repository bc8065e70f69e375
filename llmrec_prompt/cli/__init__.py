"""The command `llmrec`: parse, call, print. Answers go to stdout, progress and warnings to stderr."""

import errno
import logging
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from llmrec_prompt import __version__
from llmrec_prompt.cli import adapt, adapters, data, evaluate, models, probe, prompts, recommend
from llmrec_prompt.cli.output import PlainLog, accept_all_characters, errors
from llmrec_prompt.errors import BackendError, BudgetExceeded, LlmrecError

STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
"""Exit codes of what was told to stop; typer makes the first of them out of Ctrl-C."""
RESUMED = (("eval", "run"), ("adapt", "train"), ("adapt", "compare"))
"""Commands that go on with --resume."""
BY_ITSELF = (("eval", "probe"),)
"""Commands whose answers are kept, so that they go on without it."""

app = typer.Typer(
    name="llmrec",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Recommendations from a language model. `--debug` anywhere shows tracebacks.\n\n"
    'Example: `llmrec recommend --data sample:movies --history "The Matrix" --history Alien`',
)
app.command("recommend")(recommend.recommend)
app.command("rank")(recommend.rank)
app.add_typer(prompts.app, name="prompts")
app.add_typer(prompts.domain_app, name="domain")
app.add_typer(data.app, name="data")
evaluate.app.command("probe")(probe.probe)
app.add_typer(evaluate.app, name="eval")
app.add_typer(adapt.app, name="adapt")
app.add_typer(adapters.app, name="adapters")
app.add_typer(models.app, name="models")
app.command("doctor")(models.doctor)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"llmrec {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> None:
    """Run the command line: exit 0 when all is well, 1 with one line for our errors, 2 for wrong usage.

    A file that the system does not let us read or write is such a line too.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    shown = logging.StreamHandler()
    shown.setFormatter(PlainLog())
    logging.basicConfig(handlers=[shown], level=logging.ERROR)
    logging.getLogger("llmrec_prompt").setLevel(logging.DEBUG if debug else logging.WARNING)
    signal.signal(signal.SIGTERM, _terminate)
    accept_all_characters()
    given = [a for a in given if a != "--debug"]
    try:
        app(given, prog_name="llmrec")
    except (LlmrecError, OSError) as error:
        if debug:
            raise
        text = in_words(error) if isinstance(error, OSError) else str(error)
        errors.print(f"Error: {' '.join(text.split())}", style="red", soft_wrap=True)
        if passes(error) and (how := way_on(given)):
            errors.print(how)
        sys.exit(1)
    except SystemExit as end:
        if end.code in STOPPED:
            errors.print(stopped(given))
        raise


def stopped(given: Sequence[str]) -> str:
    """What is said after Ctrl-C: that it stopped, and how it goes on where it can.

    >>> stopped(["recommend"]), stopped(["eval", "run", "suite.yaml"])
    ('Stopped.', 'Stopped. Say the same with --resume to go on where it was.')
    """
    return f"Stopped. {way_on(given)}".rstrip()


def way_on(given: Sequence[str]) -> str:
    """How a command goes on; empty if it starts anew.

    >>> way_on(["eval", "run", "suite.yaml"]), way_on(["recommend"])
    ('Say the same with --resume to go on where it was.', '')
    """
    if tuple(given[:2]) in BY_ITSELF or "--resume" in given:
        return "Say the same again to go on where it was."
    if tuple(given[:2]) in RESUMED and "--dry-run" not in given:
        return "Say the same with --resume to go on where it was."
    return ""


def passes(error: Exception) -> bool:
    """Whether the same command may go well later: with a server, a budget or room on the disk."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOSPC
    return isinstance(error, BudgetExceeded) or (isinstance(error, BackendError) and error.retryable)


def in_words(error: OSError) -> str:
    """What the system says of a file, or whatever else it was."""
    if error.errno == errno.ENOSPC:
        return f"The disk is full: {error.filename or 'a file'} cannot be written. Make room."
    if error.filename is None:
        return f"{type(error).__name__}: {error}"
    return f"{error.filename} cannot be read or written: {error.strerror or error}; check the path."


def _terminate(*_: Any) -> None:
    """End as after Ctrl-C, so that what was paid for and what was computed is still written."""
    sys.exit(128 + signal.SIGTERM)
