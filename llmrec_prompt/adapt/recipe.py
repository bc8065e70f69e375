"""A recipe: everything that decides what an adapter becomes, in one YAML file."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from llmrec_prompt.errors import ConfigError
from llmrec_prompt.evaluate.settings import NAME, Strict, change, checked, read_settings
from llmrec_prompt.templates.prompter import LABELS

LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
DENSE = ("encode", "next_item", "predictive", "adversarial")
"""Objectives that read the states of a whole history in one forward, and can be added."""
UNLABELLED = ("predictive", "adversarial")
"""Those of them that read histories without taking anything in them for an answer."""
SPAN = ("rank", "yes_no", "label")
"""Objectives that score answers after a prompt; each stands alone."""
VALIDATED = 20
"""Candidates of a validation user."""
OBJECTIVES = (*DENSE, *SPAN, "catalogue")


class Source(Strict):
    """A data set to learn from. Its users are put in the seeded order that evaluation uses."""

    data: str
    domain: str | None = None
    weight: float = Field(default=1.0, gt=0)
    """How often a batch comes from this source, relative to the others."""
    test: int = Field(default=200, ge=0)
    """The first users of the order are never trained on: they are those that `eval run --users N` tests."""
    validation: int = Field(default=60, ge=0)
    """The next ones choose checkpoints and weights."""
    users: int | None = Field(default=None, ge=0)
    """How many of the rest to train on; all if None."""
    draw: int = Field(default=0, ge=0)
    """Another number puts those who are not tested in another order: others are validated and trained on."""
    windows: int | None = Field(default=None, ge=1)
    """At most so many pieces of one user's history, the latest, so that a few heavy users do not decide."""
    labelled: bool = True
    """False: the domain classifier and the predictive objective may read its histories, nothing else may."""


class Lora(Strict):
    """What is trained: A and B beside linear layers (Hu et al. 2021)."""

    r: int = Field(default=8, ge=1, le=64)
    alpha: int = Field(default=16, ge=1)
    targets: tuple[str, ...] = LINEARS
    layers: int | None = Field(default=None, ge=1)
    """Only so many of the last layers; the states below them are computed once per text and kept."""
    quantise: bool = False
    """QLoRA (Dettmers et al. 2023): the base in 4 bits, for memory. Needs bitsandbytes."""

    @model_validator(mode="after")
    def _known_targets(self) -> "Lora":
        unknown = [name for name in self.targets if name not in LINEARS]
        if unknown or not self.targets:
            raise ValueError(f"targets {list(self.targets)} must be among {', '.join(LINEARS)}")
        return self

    def first_layer(self, depth: int) -> int:
        """The lowest layer to train of a base with `depth` layers, counted from 0.

        Raises:
            ConfigError: the base has fewer layers than are asked for.
        """
        if self.layers is None:
            return 0
        if self.layers > depth:
            raise ConfigError(
                f"lora.layers is {self.layers}, but the base has {depth} layers. Give 1 to {depth}, or leave "
                "it out to train all."
            )
        return depth - self.layers


class Stage(Strict):
    """One run of training; the next stage starts from its adapter."""

    name: str = Field(pattern=NAME)
    sources: tuple[Source, ...] = Field(min_length=1)
    domain: str | None = None
    """Whose adapter it is; the only source's domain, or `general` for several."""
    objectives: dict[str, float] = Field(default_factory=lambda: {"encode": 1.0})
    steps: int = Field(default=600, ge=1)
    batch: int = Field(default=12, ge=1)
    """Histories (or prompts) of one step."""
    history: int = Field(default=20, ge=1)
    """Items of one training history; the encoder mode then shows as many."""
    reach: int = Field(default=50, ge=1)
    """`encode`: nearness looks so far back, beyond what the prompt shows; what it shows counts always."""
    lr: float = Field(default=5e-4, gt=0)
    warmup: float = Field(default=0.05, ge=0, lt=1)
    candidates: int = Field(default=8, ge=2)
    """`rank`, `yes_no` and `label`: how many candidates of a history are compared, the target among them."""
    evaluate_every: int = Field(default=100, ge=1)
    patience: int | None = Field(default=None, ge=1)
    """Stop after so many evaluations without a better metric; None trains all steps and keeps the best."""
    publish: bool = True
    """Whether an adapter is written after this stage."""
    shuffle_targets: bool = False
    """A control: targets permuted among the examples. An adapter that still gains has seen the answers."""

    @model_validator(mode="after")
    def _known_objectives(self) -> "Stage":
        unknown = [name for name in self.objectives if name not in OBJECTIVES]
        if unknown or not self.objectives:
            raise ValueError(f"objectives {list(self.objectives)} must be among {', '.join(OBJECTIVES)}")
        alone = [name for name in self.objectives if name not in DENSE]
        if alone and len(self.objectives) > 1:
            raise ValueError(
                f"objective {alone[0]!r} cannot be mixed with others; mix only {', '.join(DENSE)}"
            )
        if set(self.objectives) == {"adversarial"}:
            raise ValueError("objective 'adversarial' goes with another one, such as encode")
        return self

    @model_validator(mode="after")
    def _sources_suit_the_objectives(self) -> "Stage":
        unlabelled = [source.data for source in self.sources if not source.labelled]
        reading = [name for name in self.objectives if name in UNLABELLED]
        if unlabelled and not reading:
            raise ValueError(
                f"source {unlabelled[0]} is unlabelled; only {', '.join(UNLABELLED)} can read it"
            )
        if len(unlabelled) == len(self.sources) and len(reading) < len(self.objectives):
            raise ValueError(f"objectives {list(self.objectives)} need a labelled source")
        if "adversarial" in self.objectives and len(self.sources) < 2:
            raise ValueError("objective 'adversarial' tells sources apart: give two or more")
        return self

    @model_validator(mode="after")
    def _letters_suffice(self) -> "Stage":
        if "label" not in self.objectives:
            return self
        if self.candidates > len(LABELS):
            raise ValueError(f"objective 'label' has {len(LABELS)} letters: lower candidates")
        if self.candidates < VALIDATED and any(source.validation for source in self.sources):
            raise ValueError(
                f"objective 'label' learns the letters it sees and is validated on {VALIDATED} candidates: "
                f"set candidates to {VALIDATED} or more, or every source's validation to 0"
            )
        return self

    @property
    def objective(self) -> str:
        """The name for cards: the heaviest first."""
        return "+".join(sorted(self.objectives, key=lambda name: (-self.objectives[name], name)))


class Recipe(Strict):
    """From a base model to adapters, stage by stage."""

    base: str = "smollm2"
    seed: int = 0
    start: str | None = None
    """An adapter to start from (a name, domain or folder); an untrained one if None."""
    lora: Lora = Lora()
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    tracker: tuple[Literal["tensorboard", "mlflow"], ...] = ()
    stages: tuple[Stage, ...] = Field(min_length=1)

    @classmethod
    def load(cls, path: str | Path, changes: dict[str, Any] | None = None) -> "Recipe":
        """Read a recipe; data paths are relative to the working directory.

        Args:
            path: the YAML file.
            changes: values by dotted path, such as {"stages.0.steps": 50}.

        Raises:
            ConfigError: the file is not a recipe.
        """
        content = read_settings(path, "recipe", "base, lora and stages")
        return cls.parse(content, changes or {}, str(path))

    @classmethod
    def parse(cls, content: Any, changes: dict[str, Any] | None = None, where: str = "recipe") -> "Recipe":
        """Check a recipe given as plain values.

        Raises:
            ConfigError: something in it cannot be meant; says what and where.
        """
        if not isinstance(content, dict):
            raise ConfigError(f"{where} is no recipe: expected keys such as base, lora and stages.")
        for dotted, value in (changes or {}).items():
            change(content, dotted, value)
        return checked(cls, content, where)
