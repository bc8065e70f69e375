"""What a ranking mode is asked and answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from llmrec_prompt.errors import BackendError
from llmrec_prompt.types import Candidates, History, Scored

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class Ranker(Protocol):
    """One ranking mode. It is given a history and candidates and nothing else; it cannot see a target."""

    name: str

    def score(self, history: History, candidates: Candidates) -> Scored:
        """Raw scores of every part, in the candidates' order."""
        ...

    def prepare(self, candidates: Candidates) -> None:
        """Do ahead, behind a progress bar, what does not depend on the history (priors)."""
        ...

    @property
    def origin(self) -> Mapping[str, Any]:
        """Model, adapter and template of a `Provenance`, as far as this mode has them."""
        ...


@runtime_checkable
class Informed(Protocol):
    """A ranking mode that rests on logs, wholly or in a part that is named after its scorer."""

    def informed(self, candidates: Candidates) -> Mask | None:
        """Of which candidates the logs say anything, (candidates,); None if no logs are read."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """What a ranking says about itself besides its scores."""

    user: str | None = None
    domain: str = ""
    seed: int = 0
    events: Mapping[str, int] = field(default_factory=dict)


def combine(scored: Scored) -> Array:
    """The scores: offset and weighted sum of the parts.

    Raises:
        BackendError: a score is not a number; nothing is ever put in its place.
    """
    parts = [w * np.asarray(scored.parts[p], np.float64) for p, w in scored.weights.items()]
    total: Array = np.sum(parts, axis=0) + scored.offset
    if not np.isfinite(total).all():
        raise BackendError(
            f"{int((~np.isfinite(total)).sum())} of {len(total)} scores are not finite numbers."
        )
    return total if scored.decimals is None else total.round(scored.decimals) + 0.0  # not -0.0


def is_listwise(ranker: Ranker) -> bool:
    """Whether a candidate's score depends on which others are asked about with it."""
    return bool(getattr(ranker, "listwise", False))


def tokens_of(ranker: Ranker) -> tuple[int, int]:
    """Tokens evaluated and reused so far by the ranker's model; zeros without one."""
    usage = getattr(ranker, "usage", None)
    return (usage.evaluated, usage.reused) if usage else (0, 0)
