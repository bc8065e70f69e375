"""What is to be evaluated: one data set, one protocol, some rankers."""

from collections.abc import Sequence
from dataclasses import dataclass

from llmrec_prompt.backends import DEFAULT_MODEL
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.evaluate.protocols import Ask

ALL = ("random", "popularity", "bm25", "embedding", "co-occurrence", "likelihood", "fused")
ONLY_GIVEN = ("history", "baseline", "retrieve")
"""What a manifest says of a plan only where it was given, so that it does not change what came before."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a run depends on."""

    data: str
    users: int | None = 200
    candidates: int = 20
    negatives: str = "uniform"
    rankers: Sequence[str] = ALL
    model: str = DEFAULT_MODEL
    domain: str | None = None
    language: str | None = None
    adapter: str | None = None
    """Name, domain, path or hub id; rankers that use the model rank under it."""
    popularity_weight: float | None = None
    """Of the encoder's popularity term; what the adapter's card says for these negatives if None."""
    embedder: str = "auto"
    seed: int = 0
    protocol: str = "leave-last-out"
    history: int | None = None
    """How many of the latest items a question shows; all if None."""
    baseline: str | None = None
    """The ranker that the others are held against; popularity if None."""
    retrieve: int | None = None
    """Modes that ask the model about each candidate rank only so many, as `recommend` does; all if None."""

    @property
    def ask(self) -> Ask:
        """What is asked of whom.

        Raises:
            ConfigError: numbers that cannot be meant.
            UnknownName: no such protocol.
        """
        return Ask(self.protocol, self.users, self.candidates, self.negatives, self.seed, self.history)


def check_rankers(plan: Plan) -> None:
    """Refuse no rankers, and one twice; and retrieval of nothing, or among what was drawn.

    Raises:
        ConfigError: as said.
    """
    if not plan.rankers or len(set(plan.rankers)) != len(plan.rankers):
        raise ConfigError(f"Rankers {', '.join(plan.rankers) or 'none'}: give at least one, each once.")
    if plan.retrieve is not None and (plan.retrieve < 1 or plan.negatives != "full"):
        raise ConfigError(
            f"To retrieve {plan.retrieve} of {plan.negatives} candidates cannot be meant. Retrieve at least "
            "1, of the whole catalogue: --negatives full."
        )
    if plan.baseline is not None and plan.baseline not in plan.rankers:
        raise ConfigError(
            f"The baseline {plan.baseline!r} is none of the rankers: {', '.join(plan.rankers)}."
        )
