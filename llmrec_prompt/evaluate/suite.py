"""A suite of `llmrec eval run`: data x protocols x negatives x rankers x models x adapters x templates."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from llmrec_prompt.backends import DEFAULT_MODEL
from llmrec_prompt.errors import ConfigError, UnknownName
from llmrec_prompt.evaluate.plan import ALL, Plan
from llmrec_prompt.evaluate.protocols import PROTOCOLS
from llmrec_prompt.evaluate.rates import uses_model
from llmrec_prompt.evaluate.reports.sheet import told_apart
from llmrec_prompt.evaluate.settings import NAME, Strict, checked, name_of, read_settings
from llmrec_prompt.rank import check_mode

SHORT = {"data": "data", "protocols": "protocol", "adapters": "adapter"}
"""Keys whose entries may be a name alone, and what that name then is."""
NOBODY = "none"
"""How a suite writes a model without an adapter; null does as well."""


def _in_full(value: Any, info: ValidationInfo) -> Any:
    """A name alone stands for an entry, and one entry for a list of it."""
    key = SHORT[str(info.field_name)]
    many = value if isinstance(value, list | tuple) else [value]
    names = [None if one == NOBODY else one for one in many]
    return [{key: one} if one is None or isinstance(one, str) else one for one in names]


class Template(Strict):
    """Whose prompts speak, and in which language; the data set's own where nothing is said."""

    domain: str | None = None
    language: str | None = None


class Asked(Strict):
    """A protocol; with several lengths of the history shown it is a cold-start curve."""

    protocol: str
    history: tuple[int | None, ...] = Field(default=(None,), min_length=1)


class Adapted(Strict):
    """An adapter of the models, and which rankers are asked under it; all that use a model if None."""

    adapter: str | None = None
    rankers: tuple[str, ...] | None = None


class Source(Strict):
    """A data set, and what is different for it."""

    data: str
    """A folder, relative to the working directory, or sample:NAME."""
    users: int | None = Field(default=None, ge=1)
    candidates: int | None = Field(default=None, ge=2)
    negatives: tuple[str, ...] | None = None
    protocols: tuple[Asked, ...] | None = None
    adapters: tuple[Adapted, ...] | None = None
    templates: tuple[Template, ...] | None = None

    _short = field_validator("protocols", "adapters", mode="before")(_in_full)


class Suite(Strict):
    """Everything that could change a number; each list is one side of the product."""

    name: str = Field(pattern=NAME)
    data: tuple[Source, ...] = Field(min_length=1)
    protocols: tuple[Asked, ...] = Field(default=(Asked(protocol="leave-last-out"),), min_length=1)
    negatives: tuple[str, ...] = Field(default=("uniform",), min_length=1)
    users: int | None = Field(default=200, ge=1)
    candidates: int = Field(default=20, ge=2)
    rankers: tuple[str, ...] = Field(default=ALL, min_length=1)
    models: tuple[str, ...] = Field(default=(DEFAULT_MODEL,), min_length=1)
    adapters: tuple[Adapted, ...] = Field(default=(Adapted(),), min_length=1)
    templates: tuple[Template, ...] = Field(default=(Template(),), min_length=1)
    embedder: Literal["auto", "minilm", "backend"] = "auto"
    popularity_weight: float | None = None
    retrieve: int | None = Field(default=None, ge=1)
    """Of `full` negatives, as `recommend` does: how many a mode ranks that asks the model about each."""
    baseline: str | None = None
    """The ranker that the others are held against; popularity if None."""
    seed: int = Field(default=0, ge=0)
    prices: dict[str, float] = Field(default={})
    """For hosted models, what a million tokens costs; only `--dry-run` reads it."""

    _short = field_validator("data", "protocols", "adapters", mode="before")(_in_full)

    @model_validator(mode="after")
    def _possible(self) -> "Suite":
        asked = [*self.protocols, *(one for source in self.data for one in source.protocols or ())]
        under = [*self.adapters, *(one for source in self.data for one in source.adapters or ())]
        for name in [*self.rankers, *(name for one in under for name in one.rankers or ())]:
            try:
                check_mode(name, "ranker")
            except (UnknownName, ConfigError) as error:
                raise ValueError(str(error)) from error
        for one in asked:
            if one.protocol not in PROTOCOLS:
                raise ValueError(str(UnknownName("protocol", one.protocol, PROTOCOLS)))
        for what in ("protocols", "negatives", "rankers", "models", "adapters", "templates"):
            values = getattr(self, what)
            if len(set(values)) != len(values):
                raise ValueError(f"{what} name something twice")
        return self

    @model_validator(mode="after")
    def _retrievable(self) -> "Suite":
        kinds = {*self.negatives, *(kind for source in self.data for kind in source.negatives or ())}
        if self.retrieve is not None and "full" not in kinds:
            raise ValueError(f"retrieve is for full negatives, and here are {', '.join(sorted(kinds))} alone")
        return self

    @classmethod
    def load(cls, path: str | Path, changes: Mapping[str, Any] | None = None) -> "Suite":
        """Read a suite; its name is the file's if it has none.

        Args:
            path: the YAML file.
            changes: values by key that win over the file's, such as {"users": 20}.

        Raises:
            ConfigError: the file is not a suite; says what and where.
        """
        content = read_settings(path, "suite", "data, rankers and negatives")
        return cls.parse({"name": name_of(path), **content, **(changes or {})}, str(path))

    @classmethod
    def parse(cls, content: Mapping[str, Any], where: str = "suite") -> "Suite":
        """Check a suite given as plain values.

        Raises:
            ConfigError: something in it cannot be meant; says what and where.
        """
        return checked(cls, content, where)


@dataclass(frozen=True, slots=True)
class Paper:
    """One exam of a suite: everybody who answers it is in one table."""

    plans: tuple[Plan, ...]
    """First the rankers without a model, then one plan for each model, adapter and template."""

    @property
    def name(self) -> str:
        """A folder name, without the number that makes it unique."""
        plan = self.plans[0]
        shown = "" if plan.history is None else f"-h{plan.history}"
        return slug(
            f"{Path(plan.data.replace(':', '-')).name}-{plan.protocol}-{Path(plan.negatives).stem}{shown}"
        )


def papers(suite: Suite) -> list[Paper]:
    """The exams of a suite and who answers them.

    Raises:
        ConfigError: numbers or combinations that cannot be meant, or two runs that would be in one folder.
        UnknownName: the baseline is none of the rankers.
    """
    found = [
        Paper(tuple(_plans(suite, source, asked.protocol, negatives, shown)))
        for source in suite.data
        for asked in source.protocols or suite.protocols
        for negatives in source.negatives or suite.negatives
        for shown in asked.history
    ]
    for paper in found:
        _ = paper.plans[0].ask  # what cannot be asked shall fail before anything runs
        _refuse_collisions(paper)
        _check_baseline(paper, suite.baseline)
    return found


def _check_baseline(paper: Paper, baseline: str | None) -> None:
    """A baseline is a ranker of every exam; of several runs that have it, one is named after ` · `.

    Raises:
        UnknownName: none of the rankers has that name.
        ConfigError: several runs have it.
    """
    if baseline is None:
        return
    plans = [{**asdict(plan), "model": plan.model if asks_model(plan) else ""} for plan in paper.plans]
    labels = [label for named in told_apart(plans) for label in named.values()]
    name, _, which = baseline.partition(" · ")
    having = [label for label in labels if label.split(" · ")[0] == name]
    if not having:
        raise UnknownName("baseline", baseline, {ranker for plan in paper.plans for ranker in plan.rankers})
    loaded = any(plan.adapter or plan.domain for plan in paper.plans)  # then names are known only once it is
    if not loaded and having.count(baseline) == 1:
        return
    if not which and having != [name]:
        example = next((label for label in having if label != name), f"{name} · ADAPTER")
        raise ConfigError(
            f"Ranker {name!r} of {paper.name} is called after what its runs differ in. Add that to the "
            f"baseline, as the report does, such as {example!r}."
        )
    if baseline not in having and not loaded:
        raise UnknownName("baseline", baseline, having)


def asks_model(plan: Plan) -> bool:
    """Whether a ranker of the plan needs its model."""
    return any(uses_model(name, plan.embedder) for name in plan.rankers)


def _refuse_collisions(paper: Paper) -> None:
    """Two runs cannot have one folder.

    Raises:
        ConfigError: two plans have the same model, adapter and template, or names that differ in signs alone.
    """
    names = [cell_name(plan) for plan in paper.plans]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(
            f"{paper.name}: two runs would be in one folder {twice[0]!r}. Write all rankers of the same "
            "model, adapter and template in one entry."
        )


def _plans(suite: Suite, source: Source, protocol: str, negatives: str, shown: int | None) -> Iterator[Plan]:
    """The same questions for all; rankers without a model are asked once."""
    common: dict[str, Any] = {
        "data": source.data,
        "protocol": protocol,
        "negatives": negatives,
        "history": shown,
        "users": source.users or suite.users,
        "candidates": source.candidates or suite.candidates,
        "embedder": suite.embedder,
        "popularity_weight": suite.popularity_weight,
        "retrieve": suite.retrieve if negatives == "full" else None,
        "seed": suite.seed,
    }
    alone = tuple(name for name in suite.rankers if not uses_model(name, suite.embedder))
    asking = tuple(name for name in suite.rankers if name not in alone)
    if alone:
        yield Plan(**common, rankers=alone, model=suite.models[0])
    for model in suite.models if asking else ():
        for under in source.adapters or suite.adapters:
            for template in source.templates or suite.templates:
                yield Plan(
                    **common,
                    rankers=asking if under.rankers is None else under.rankers,
                    model=model,
                    adapter=under.adapter,
                    domain=template.domain,
                    language=template.language,
                )


def slug(text: str) -> str:
    """A text as part of a path.

    >>> slug("hf:org/Name @1")
    'hf-org-name-1'
    """
    return re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-.")


def cell_name(plan: Plan) -> str:
    """What a plan's run is called inside its exam."""
    if not asks_model(plan):
        return "baselines"
    parts = [plan.model, plan.adapter, plan.domain, plan.language]
    return slug("-".join(str(part) for part in parts if part))
