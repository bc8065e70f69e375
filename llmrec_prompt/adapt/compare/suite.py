"""A suite of `llmrec adapt compare`: a target, source adapters, methods, and a curve over shots, in YAML."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from llmrec_prompt.adapt.recipe import Lora, Source, Stage
from llmrec_prompt.backends import DEFAULT_MODEL
from llmrec_prompt.evaluate.settings import NAME, Strict, change, checked, fault, name_of, read_settings

DEFAULT = (
    "base",
    "likelihood",
    "catalogue-only",
    "source-only",
    "target-only",
    "source+target",
    "composed",
    "popularity",
    "embedding",
    "popularity+embedding",
    "item-knn",
    "co-occurrence",
    "sasrec",
    "lstm",
)
"""The rows of the table. `base` is the untrained encoder, `likelihood` the zero-shot mode."""
METHODS = (*DEFAULT, "predictive", "adversarial")
"""The last two go on from the source without labels, the replayed sources learnt again, while the target's
histories are to foretell themselves, or while a classifier may not tell them from the sources'."""
NEEDS_SOURCE = ("source-only", "source+target", "predictive", "adversarial")
Shots = int | Literal["all"]
"""How many users of the target to learn from."""
DEFAULT_SHOTS: tuple[Shots, ...] = (0, 16, 64, 256, "all")


class Composition(Strict):
    """How the row `composed` is made."""

    of: tuple[str, ...] = ()
    """Adapters that saw nobody of the target, as `sources`; the sources if empty."""
    method: Literal["sum", "arithmetic", "hub"] = "hub"
    weights: tuple[float, ...] | None = None
    rank: int | None = Field(default=None, ge=1)
    users: int = Field(default=64, ge=1)
    """The search looks at no more of the shots than these."""
    evaluations: int = Field(default=40, ge=1)


class Suite(Strict):
    """Everything that could change a number."""

    name: str = Field(pattern=NAME)
    data: str
    """The target; relative to the working directory."""
    domain: str | None = None
    model: str = DEFAULT_MODEL
    """Ranks, and is the base of what is trained."""
    sources: tuple[str, ...] = ()
    """Adapters by name, folder or hub id that saw nobody of the target; training starts from the first."""
    recipe: str | None = None
    """A recipe whose last adapter is the source, trained first; in place of `sources`."""
    methods: tuple[str, ...] = Field(default=DEFAULT, min_length=1)
    shots: tuple[Shots, ...] = Field(default=DEFAULT_SHOTS, min_length=1)
    draws: int = Field(default=1, ge=1)
    """So many times other users are drawn for the shots; the same are tested. Asking for more adds some."""
    test: int = Field(default=200, ge=1)
    """Users to be tested: the first of the seeded order, as in `llmrec eval run --users`."""
    validation: int = Field(default=60, ge=1)
    """At most so many users choose checkpoints and weights; for n shots at most max(16, n / 4)."""
    candidates: int = Field(default=20, ge=2)
    negatives: tuple[Literal["uniform", "popular"], ...] = Field(default=("uniform", "popular"), min_length=1)
    embedder: Literal["auto", "minilm", "backend"] = "minilm"
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    lora: Lora | None = None
    """That of the first source if None."""
    stage: dict[str, Any] = Field(default={})
    """Settings of the training stages, as in a recipe."""
    steps: dict[Shots, int] = Field(default={})
    """Steps for a number of shots, in place of the stage's."""
    catalogue: dict[str, Any] = Field(default={})
    """Changes to `stage` for `catalogue-only`."""
    windows: int | None = Field(default=None, ge=1)
    """At most so many pieces of one user's history."""
    replay: tuple[Source, ...] = ()
    """Source data sets that `source+target`, `predictive` and `adversarial` see again, with their weights."""
    composed: Composition = Composition()
    seed: int = 0

    @model_validator(mode="after")
    def _possible(self) -> "Suite":
        unknown = [name for name in self.methods if name not in METHODS]
        if unknown:
            raise ValueError(f"method {unknown[0]!r} must be among {', '.join(METHODS)}")
        for what, values in (("methods", self.methods), ("shots", self.shots), ("negatives", self.negatives)):
            if len(set(values)) != len(values):
                raise ValueError(f"{what} name something twice")
        if any(isinstance(n, int) and n < 0 for n in self.shots):
            raise ValueError("shots must be 0 or more, or all")
        if self.sources and self.recipe:
            raise ValueError("give sources or a recipe, not both")
        self._sources_are_there()
        _check_stage("stage", self.stage)
        _check_stage("catalogue", {**self.stage, **self.catalogue})
        return self

    def _sources_are_there(self) -> None:
        none = not self.sources and self.recipe is None
        wanting = [name for name in self.methods if name in NEEDS_SOURCE]
        if none and "composed" in self.methods and not self.composed.of:
            wanting.append("composed")
        if none and wanting:
            raise ValueError(f"method {wanting[0]!r} needs sources or a recipe")
        if "adversarial" in self.methods and not self.replay:
            raise ValueError("method 'adversarial' needs replay: source data sets to tell the target from")

    @property
    def ordered_shots(self) -> tuple[Shots, ...]:
        """From few to all."""
        return tuple(sorted(self.shots, key=lambda n: math.inf if n == "all" else n))

    def target(self, shots: Shots, draw: int = 0) -> Source:
        """The target with so many users to learn from, and no more validation users than go with them.

        >>> suite = Suite(name="s", data="d", methods=("base",))
        >>> [suite.target(n).validation for n in (0, 16, 100, 200, 1000)]
        [0, 16, 25, 50, 60]
        """
        users = None if shots == "all" else int(shots)
        most = self.validation if users is None else min(self.validation, max(16, users // 4))
        return Source(
            data=self.data,
            domain=self.domain,
            test=self.test,
            validation=0 if users == 0 else most,
            users=users,
            draw=draw,
            windows=self.windows,
        )

    @classmethod
    def load(cls, path: str | Path, changes: Mapping[str, Any] | None = None) -> "Suite":
        """Read a suite; its name is the file's if it has none.

        Args:
            path: the YAML file.
            changes: values by dotted path that win over the file's, such as {"stage.steps": 50}.

        Raises:
            ConfigError: the file is not a suite; says what and where.
        """
        content = read_settings(path, "suite", "data, sources and shots")
        for dotted, value in (changes or {}).items():
            change(content, dotted, value)
        return checked(cls, {"name": name_of(path), **content}, str(path))


def _check_stage(place: str, values: dict[str, Any]) -> None:
    """What a stage is given here must be possible, and not be what the comparison itself decides."""
    own = [key for key in ("name", "sources", "publish", "domain") if key in values]
    if own:
        raise ValueError(f"{place}.{own[0]} is decided by the comparison; leave it out")
    try:
        Stage.model_validate({"name": "x", "sources": [{"data": "x"}], **values})
    except ValidationError as error:
        raise ValueError(fault(error, Stage, place)) from error
