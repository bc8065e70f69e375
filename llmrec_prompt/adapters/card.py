"""The card of an adapter: which base, templates and data it was made from, and what it is good for.

`card.yaml` lies beside PEFT's two files. Whose histories were trained on lies in `users.txt`, as hashes.
"""

import os
import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llmrec_prompt.cache import write_atomically
from llmrec_prompt.errors import AdapterError
from llmrec_prompt.reading import parse_yaml, read_yaml
from llmrec_prompt.types import complaints

CARD, USERS = "card.yaml", "users.txt"
CONFIG, WEIGHTS, README = "adapter_config.json", "adapter_model.safetensors", "README.md"
NAME = r"[a-z0-9][a-z0-9._-]*"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Base(_Part):
    """The model an adapter was trained on."""

    ref: str
    hash: str
    """`ModelInfo.hash` without its engine suffix."""
    same: tuple[str, ...] = ()
    """Hashes of other files that hold the same weights, such as a GGUF conversion."""
    hub: str | None = None
    """The model's name on the Hugging Face hub, for the model card."""


class Lora(_Part):
    """Which low-rank matrices were trained."""

    r: int = Field(ge=1)
    alpha: float
    targets: tuple[str, ...]
    layers: tuple[int, ...] | None = None
    """Numbers of the adapted layers; all if None."""


class Source(_Part):
    """A data set that was trained on."""

    name: str
    fingerprint: str
    licence: str = ""
    users: int = 0
    interactions: int = 0


class Parent(_Part):
    """An adapter that this one started from or was composed of."""

    name: str
    hash: str
    weight: float | None = None


class Card(_Part):
    """Everything about an adapter except its weights; `card.yaml` holds these fields."""

    name: str = Field(pattern=f"^{NAME}$")
    domain: str
    base: Base
    objective: str
    """What it was trained on: encode, next_item, rank, yes_no, label, catalogue."""
    mode: str
    """The ranking mode it serves."""
    templates: dict[str, str] = {}
    """Domains whose prompts it saw in training, and the fingerprint each had."""
    unlabelled: tuple[str, ...] = ()
    """Those of them whose histories it saw without being told what was liked next."""
    language: str = "en"
    history: int = Field(default=10, ge=1)
    """How many history items a prompt showed in training."""
    scale: float | None = None
    """Encoder: the weight of the cosine to the history's state."""
    near: float | None = None
    """Encoder: the weight of the nearness to single history items, where it was trained."""
    focus: float | None = None
    """Encoder: how much the nearest of them decides, the temperature of nearness; `near` if None."""
    reach: int | None = Field(default=None, ge=1)
    """Encoder: how many history items nearness looks at; those that the prompt shows if None."""
    centred: bool = False
    """Encoder: validation users were served better as where nobody was trained, by centred item states."""
    popularity: dict[str, float] = {}
    """Weight of log(1 + count) for each task, chosen on validation users."""
    lora: Lora
    data: tuple[Source, ...] = ()
    parents: tuple[Parent, ...] = ()
    licence: str = ""
    seed: int = 0
    metrics: dict[str, Any] = {}
    minutes: float = 0.0
    created: date | None = None
    weights_hash: str = ""
    """`file_hash` of the weights."""
    recipe: dict[str, Any] = {}
    versions: dict[str, str] = {}

    @classmethod
    def load(cls, folder: Path | str) -> "Card":
        """Read the card of an adapter folder.

        Raises:
            AdapterError: there is none, or it is no card.
        """
        path = Path(folder) / CARD
        if not os.path.isfile(path):
            raise AdapterError(f"{folder} has no {CARD}. Give a folder that `llmrec adapt train` made.")
        return cls._of(read_yaml(path, AdapterError), path)

    @classmethod
    def parse(cls, text: str, where: Path | str) -> "Card":
        """The card that a text is; `where` it stood is for errors.

        Raises:
            AdapterError: it is no card.
        """
        return cls._of(parse_yaml(text, str(where), AdapterError), where)

    @classmethod
    def _of(cls, values: Any, where: Path | str) -> "Card":
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise AdapterError(f"{where}: {complaints(error)}.") from error

    def save(self, folder: Path | str) -> Path:
        """Write the card into an adapter folder; readers see the old file or the new one, never half."""
        values = self.model_dump(mode="python", exclude_none=True)
        text = yaml.safe_dump(_plain(values), sort_keys=False, allow_unicode=True, width=100)
        return write_atomically(Path(folder) / CARD, text)

    def check_base(self, model_hash: str) -> None:
        """See that a model is the one this adapter was trained on.

        Args:
            model_hash: `ModelInfo.hash`.

        Raises:
            AdapterError: it is another.
        """
        if not self.fits(model_hash):
            raise AdapterError(
                f"Adapter {self.name!r} was trained on {self.base.ref} ({self.base.hash}), but the model is "
                f"{model_hash}. Load {self.base.ref}, or train another with `llmrec adapt train`."
            )

    def fits(self, model_hash: str) -> bool:
        """Whether a model (`ModelInfo.hash`) is the one this adapter was trained on."""
        return model_hash.partition("-")[0] in (self.base.hash, *self.base.same)

    def check_template(self, domain: str, fingerprint: str) -> None:
        """See that a domain's prompts are still those of the training.

        A domain it was not trained on passes: then there is nothing to differ from.

        Raises:
            AdapterError: the templates were changed since.
        """
        trained = self.templates.get(domain, fingerprint)
        if trained != fingerprint:
            raise AdapterError(
                f"Adapter {self.name!r} was trained with other templates of {domain!r} ({trained}, now "
                f"{fingerprint}). Undo the change, or train anew with `llmrec adapt train`."
            )


def _plain(value: Any) -> Any:
    """Lists for tuples, all the way down: YAML has no tuples."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def all_terms(licences: Iterable[str]) -> str:
    """The terms of several licences, or of what several led to, each once, in one line.

    >>> all_terms(["CC0", "own (no sale; no copies); CC0", "own (no sale; no copies)"])
    'CC0; own (no sale; no copies)'
    """
    terms = (term for text in licences for term in re.split(r"; (?![^(]*\))", text))
    return "; ".join(dict.fromkeys(filter(None, terms)))
