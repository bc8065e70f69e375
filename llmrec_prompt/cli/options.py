"""Options that several commands share, each written once."""

from pathlib import Path
from typing import Annotated

import typer

from llmrec_prompt.backends import Hosted
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.rank import MODES

Data = Annotated[str, typer.Option("--data", help="Folder of a data set, or sample:NAME.", metavar="DIR")]
User = Annotated[str | None, typer.Option("--user", help="A user of the data set.", metavar="ID")]
History = Annotated[
    list[str] | None,
    typer.Option("--history", help="A title or id, oldest first; repeat it.", metavar="TITLE"),
]
DomainName = Annotated[
    str | None,
    typer.Option("--domain", help="Domain or path of a domain.yaml; the data set's own by default."),
]
Model = Annotated[
    str, typer.Option("--model", envvar="LLMREC_MODEL", help="Model; see `llmrec models list`.")
]
Adapter = Annotated[
    str | None,
    typer.Option(
        "--adapter",
        help="LoRA adapter: name, domain, folder or hub id; auto is the domain's, if any.",
        metavar="ADAPTER",
    ),
]
Retrieved = Annotated[
    int, typer.Option("--retrieve", help="How many candidates modes that ask a model rank.")
]
Mode = Annotated[
    str,
    typer.Option(
        "--mode",
        help=f"How to rank: {', '.join(MODES)}, or parts added up, as encoder+sasrec; "
        "auto is what the adapter was trained for, else fused.",
    ),
]
Language = Annotated[str | None, typer.Option("--language", help="Language of the prompt, such as zh.")]
Embedder = Annotated[str, typer.Option("--embedder", help="auto, minilm or backend.")]
Explain = Annotated[bool, typer.Option("--explain", help="Add reasons by leaving history items out.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show the prompt on stderr.")]
Prompts = Annotated[
    Path | None,
    typer.Option("--prompts", help="Folder of templates that wins over all others.", metavar="DIR"),
]
UseHosted = Annotated[
    bool, typer.Option("--hosted", help="Allow an openai: model: titles are sent to its server.")
]
BaseUrl = Annotated[
    str | None, typer.Option("--base-url", help="Its server, with /v1; OpenAI's by default.", metavar="URL")
]
HostedSettings = Annotated[
    Path | None,
    typer.Option("--hosted-settings", help="YAML: budget, ledger, concurrency …", metavar="FILE"),
]
Users = Annotated[int, typer.Option(help="How many users, by a seeded order.")]
Candidates = Annotated[int, typer.Option(help="Target and negatives together.")]


def names(text: str) -> tuple[str, ...]:
    """Names separated by commas.

    >>> names("bm25, random,")
    ('bm25', 'random')
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())


def leave(hosted: bool, base_url: str | None, settings: Path | None, **changes: bool) -> Hosted | None:
    """What the options allow: nothing without --hosted.

    Raises:
        ConfigError: settings that cannot be meant, or that would be of no use without --hosted.
    """
    if not hosted and (base_url or settings):
        given = "--base-url" if base_url else "--hosted-settings"
        raise ConfigError(f"{given} needs --hosted, which allows that titles are sent to a server.")
    return Hosted.load(settings, base_url=base_url, **changes) if hosted else None
