"""The nouns everything else speaks: items, interactions, rankings. Knows no files and no models."""

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Item(BaseModel):
    """One thing that can be recommended. Unknown fields are kept and usable in templates.

    >>> Item(item_id="1", title="Alien (1979)", categories=("Horror",)).title
    'Alien (1979)'
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    item_id: str = Field(min_length=1)
    title: str = Field(min_length=1)
    categories: tuple[str, ...] = ()
    description: str = ""
    creator: str = ""
    year: str = ""
    tags: tuple[str, ...] = ()
    price: float | None = None


@dataclass(frozen=True, slots=True)
class Interaction:
    """A user met an item. `timestamp` is in epoch seconds (may be negative) or None."""

    user_id: str
    item_id: str
    rating: float | None = None
    timestamp: float | None = None


class RankedItem(BaseModel):
    """One line of a ranking. `probability` is the softmax of the scores over all candidates."""

    model_config = ConfigDict(frozen=True)

    item_id: str
    title: str
    rank: int
    score: float
    probability: float
    reasons: tuple[str, ...] = ()


class Provenance(BaseModel):
    """Everything that could change a number in a ranking, and what happened on the way.

    `events` counts what a careful reader must know: `all_tied`, `history_dropped`, `text_cut` and so on.
    """

    model_config = ConfigDict(frozen=True)

    mode: str
    domain: str = ""
    model: str = ""
    model_hash: str = ""
    adapter: str = ""
    adapter_hash: str = ""
    template_fingerprint: str = ""
    seed: int = 0
    weights: Mapping[str, float] = Field(default_factory=dict)
    settings: Mapping[str, Any] = Field(default_factory=dict)
    candidates: int = 0
    events: Mapping[str, int] = Field(default_factory=dict)
    tokens_evaluated: int = 0
    tokens_reused: int = 0
    seconds: float = 0.0


class Ranking(BaseModel):
    """A full scored order of the candidates, best first, and where it came from.

    >>> Ranking.model_fields["recommendations"].is_required()
    True
    """

    model_config = ConfigDict(frozen=True)

    user: str | None = None
    domain: str = ""
    recommendations: tuple[RankedItem, ...]
    provenance: Provenance

    @property
    def ids(self) -> tuple[str, ...]:
        """The ranked item ids, best first."""
        return tuple(r.item_id for r in self.recommendations)

    def top(self, k: int) -> "Ranking":
        """The first `k` lines; ranks, scores and probabilities stay those of the full ranking."""
        return self.model_copy(update={"recommendations": self.recommendations[:k]})


@dataclass(slots=True)
class Scored:
    """What a ranker computed for a list of candidates, in the candidates' order.

    scores = offset + sum over parts of weights[part] * parts[part]. Explanations rest on that.
    """

    parts: dict[str, Any]
    weights: dict[str, float]
    offset: float = 0.0
    events: dict[str, int] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    stand_ins: dict[str, Any] = field(default_factory=dict)
    """Of a part, which candidates have the others' mean there, since nothing is known of them."""
    decimals: int | None = None
    """Of the scores, where the rest is rounding; all if None. Scores that agree in these are tied."""


History = Sequence[Item]
"""What a user consumed and liked, oldest first."""

Candidates = Sequence[Item]
"""What is to be ranked; order carries no meaning."""


def complaints(error: ValidationError) -> str:
    """What pydantic found in a file, fault by fault, as a part of a message."""
    faults = [
        f"{'.'.join(map(str, found['loc']))[:100] or 'file'}: {found['msg']} (found {shown(found['input'])})"
        for found in error.errors()
    ]
    return "; ".join(faults[:10]) + (f"; and {len(faults) - 10} more" if len(faults) > 10 else "")


def shown(value: Any) -> str:
    """A value as a part of a message: its first characters, without writing out the rest of what is nested.

    >>> shown("a" * 1000), shown([[[[[[[[1]]]]]]]])
    ("'aaaaaaaaaaaaaaaaaaaaaaaaaaa...aaaaaaaaaaaaaaaaaaaaaaaaaaaa'", '[[[[[[[...]]]]]]]')
    """
    brief = reprlib.Repr()
    brief.maxstring = brief.maxother = brief.maxlong = 60
    return brief.repr(value)[:60]
