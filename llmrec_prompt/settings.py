"""The rarer choices of a recommender, and what a model on a server may see."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Integral
from pathlib import Path
from typing import Any

from llmrec_prompt.backends import Backend, Hosted, parse_ref, permitted
from llmrec_prompt.backends.models import HOSTED
from llmrec_prompt.backends.openai.privacy import Redactor
from llmrec_prompt.errors import ConfigError, UnknownName
from llmrec_prompt.rank import SOURCES, TASKS
from llmrec_prompt.scorers import EMBEDDERS


@dataclass(frozen=True, slots=True)
class Settings:
    """The rarer choices; all are keyword arguments of `Recommender`."""

    language: str | None = None
    """Language of the templates; the domain's own if None."""
    candidates: int = 60
    """How many items retrieval hands on to be ranked; `k` where that is more."""
    embedder: str = "auto"
    """`minilm`, `backend`, or `auto`: MiniLM where it is installed."""
    weights: Mapping[str, float] | None = None
    """Parts of `fused` and their weights, tuned ones if None; those of `stacked` are learnt near them."""
    popularity_weight: float | None = None
    """Weight of log popularity in mode `encoder`; the adapter card's for the task if None."""
    task: str = "catalogue"
    """Where candidates come from: the whole `catalogue`, or `uniform` or `popular` negatives."""
    prior_weight: float = 1.0
    """How much of an item's prior mode `likelihood` subtracts."""
    calibration: str = "catalogue"
    """Histories behind the priors: lists drawn from the `catalogue`, other `users`', or the `empty` one."""
    exclude_consumed: bool = True
    """Whether what the user has consumed is left out of recommendations."""
    prompts: Path | None = None
    """A folder of templates that wins over all others."""
    hosted: Hosted | None = None
    """Permission to send prompts to an `openai:` model's server; a `hosting` block's if None."""
    seed: int = 0
    """Fixes calibration histories, the order in which candidates are shown, and the order of ties."""

    def __post_init__(self) -> None:
        for kind, value, known in (
            ("calibration", self.calibration, SOURCES),
            ("embedder", self.embedder, EMBEDDERS),
            ("task", self.task, TASKS),
        ):
            if value not in known:
                raise UnknownName(kind, str(value), known)
        if not isinstance(self.candidates, Integral) or self.candidates < 1:
            raise ConfigError(f"candidates is {self.candidates!r}; retrieval hands on a whole number from 1.")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Settings":
        """Settings from keyword arguments.

        Raises:
            UnknownName: a keyword that is no setting, or a value that is no choice.
            ConfigError: a number that cannot be meant.
        """
        known = [f.name for f in fields(cls)]
        for name in given:
            if name not in known:
                raise UnknownName("setting", name, known)
        return cls(**given)


def redactor(model: str | Backend, hosted: Hosted | None) -> Redactor | None:
    """What takes out of texts what a hosted model may not see; None for others. Raises as `shown_fields`."""
    if not isinstance(model, str):
        return getattr(model, "redactor", None)
    return Redactor(permitted(model, hosted).redact) if parse_ref(model).kind == HOSTED else None


def shown_fields(model: str | Backend, hosted: Hosted | None) -> tuple[str, ...] | None:
    """Item fields that templates may show to a model; None for all, which a local model may see.

    Raises:
        UnknownName: no such model.
        ConfigError: a hosted model that nobody has allowed; nothing has been sent then.
    """
    if not isinstance(model, str):
        return getattr(model, "fields", None)
    return permitted(model, hosted).fields if parse_ref(model).kind == HOSTED else None
