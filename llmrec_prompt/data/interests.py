"""What a history says about a user's interests: recency-weighted categories and creators. Pure counting."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llmrec_prompt.errors import ConfigError
from llmrec_prompt.types import Item

Weighted = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Interests:
    """(name, weight) pairs, heaviest first. Weights are shares of the whole history, so they sum to <= 1."""

    categories: Weighted = ()
    creators: Weighted = ()


def derive_interests(history: Sequence[Item], *, half_life: float = 10.0, top: int = 3) -> Interests:
    """The `top` categories and creators of a history (oldest first).

    An item counts 0.5 ** (age / half_life) for each of its categories; age is in items, 0 for the latest.
    Weights are normalised over all names before the top is cut; ties go by name.

    >>> items = [Item(item_id=str(n), title="t", categories=(c,)) for n, c in enumerate("abb")]
    >>> [(name, round(weight, 2)) for name, weight in derive_interests(items).categories]
    [('b', 0.69), ('a', 0.31)]

    Raises:
        ConfigError: half_life is not positive or top is negative.
    """
    if not half_life > 0 or top < 0:
        raise ConfigError(f"half_life is {half_life} and top is {top}; give half_life > 0 and top >= 0.")
    aged = [(item, 0.5 ** (age / half_life)) for age, item in enumerate(reversed(history))]
    return Interests(
        categories=_heaviest(((name, w) for item, w in aged for name in item.categories), top),
        creators=_heaviest(((item.creator, w) for item, w in aged if item.creator), top),
    )


def _heaviest(named: Iterable[tuple[str, float]], top: int) -> Weighted:
    sums: defaultdict[str, float] = defaultdict(float)
    for name, weight in named:
        sums[name] += weight
    # A very short half-life can round every weight but the latest to 0; the latest is always 1 or absent.
    total = sum(sums.values()) or 1.0
    ranked = sorted(sums.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple((name, weight / total) for name, weight in ranked[:top])
