"""Metrics of recommended lists that ask no target: how wide, various, novel, popular, and fitting they are.

Every metric looks at the first k ids, ranked best first. What is not known is left out and never counts as
zero: a metric that is then defined for nobody is None. Knows nothing of rankers, models or data sets;
`llmrec_prompt.evaluate.description` reads what is needed off a data set and makes one table of all.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations
from math import log, log2

import numpy as np
from numpy.typing import NDArray

from llmrec_prompt.errors import ConfigError, DataError

Popularity = Mapping[str, float]
"""How many users have an item, for every item of the catalogue."""
Labels = Mapping[str, Collection[str]]
"""Categories or tags of an item; an item that has none may be missing."""
Vector = NDArray[np.float64] | NDArray[np.float32]

ALPHA = 0.01
"""Steck's share of the user's own mix in the list's, without which a missing category would be infinite."""


def coverage(lists: Iterable[Sequence[str]], catalogue: Collection[str], *, k: int = 10) -> float:
    """Return the share of the catalogue that is in somebody's first k.

    Coverage@k = |union of the users' first k| / |catalogue|: aggregate diversity, as a share.
    Source: Adomavicius and Kwon, "Improving aggregate recommendation diversity", TKDE 2012.

    Raises:
        ConfigError: `k` is below 1.
        DataError: the catalogue is empty, or an id is not in it.

    Example:
        >>> coverage([["a", "b"], ["a", "c"]], ["a", "b", "c", "d"], k=2)
        0.75
    """
    return float(np.mean(_exposure(lists, catalogue, k) > 0))


def gini(lists: Iterable[Sequence[str]], catalogue: Collection[str], *, k: int = 10) -> float | None:
    """Return how unevenly the first k places fall on the catalogue: 0 all alike, 1 all on one item.

    G = sum over j of (2 j - n - 1) x_j / ((n - 1) sum of x), with x_1 <= ... <= x_n how often each of the n
    items is shown. None if nothing is shown or n is 1.
    Source: Castells, Hurley and Vargas, "Novelty and diversity in recommender systems", Recommender Systems
    Handbook, 2022.

    Raises:
        ConfigError: `k` is below 1.
        DataError: the catalogue is empty, or an id is not in it.

    Example:
        >>> gini([["a"], ["b"]], ["a", "b"], k=1), gini([["a"], ["a"]], ["a", "b"], k=1)
        (0.0, 1.0)
    """
    shown = np.sort(_exposure(lists, catalogue, k))
    n = len(shown)
    if n < 2 or not shown.sum():
        return None
    return float(((2 * np.arange(1, n + 1) - n - 1) * shown).sum() / ((n - 1) * shown.sum()))


def category_diversity(ids: Sequence[str], labels: Labels, *, k: int = 10) -> float | None:
    """Return the mean Jaccard distance of the label sets of two of the first k items.

    ILD = mean over pairs of 1 - |A and B| / |A or B|. Items without labels are left out; None if fewer than
    two have any.
    Source: Ziegler et al., "Improving recommendation lists through topic diversification", WWW 2005, in the
    averaged form of Smyth and McClave 2001.

    Raises:
        ConfigError: `k` is below 1.

    Example:
        >>> category_diversity(["a", "b"], {"a": ["Horror", "Comedy"], "b": ["Horror"]})
        0.5
    """
    sets = [set(labels[i]) for i in _top(ids, k) if labels.get(i)]
    return _mean([1 - len(a & b) / len(a | b) for a, b in combinations(sets, 2)])


def vector_diversity(ids: Sequence[str], vectors: Mapping[str, Vector], *, k: int = 10) -> float | None:
    """Return the mean cosine distance of the vectors of two of the first k items, from 0 to 2.

    ILD = mean over pairs of 1 - cosine. Items without a vector (or with one of zeros) are left out; None if
    fewer than two have one.
    Source: as `category_diversity`.

    Raises:
        ConfigError: `k` is below 1.

    Example:
        >>> vector_diversity(["a", "b"], {"a": np.array([1.0, 0.0]), "b": np.array([0.0, 2.0])})
        1.0
    """
    known = [np.asarray(vectors[i], np.float64) for i in _top(ids, k) if i in vectors]
    units = [vector / np.linalg.norm(vector) for vector in known if np.any(vector)]
    return _mean([1 - float(a @ b) for a, b in combinations(units, 2)])


def novelty(ids: Sequence[str], popularity: Popularity, users: int, *, k: int = 10) -> float | None:
    """Return the mean self-information of the first k items, in bits.

    -log2(n_i / users), with n_i the users who have item i: 0 for what everybody has. An item that nobody has
    counts as one that a single user has, so that the mean stays finite. None for an empty list.
    Source: Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems", PNAS 2010.

    Raises:
        ConfigError: `k` or `users` is below 1.
        DataError: the popularity of an id is not known.

    Example:
        >>> novelty(["a", "b"], {"a": 8, "b": 2}, users=8)
        1.0
    """
    if users < 1:
        raise ConfigError(f"Novelty over {users} users cannot be meant; give how many the popularity counts.")
    return _mean([log2(users / max(n, 1)) for n in _counts(_top(ids, k), popularity)])


def average_popularity(ids: Sequence[str], popularity: Popularity, *, k: int = 10) -> float | None:
    """Return the mean number of users who have each of the first k items; None for an empty list.

    Its mean over users is the ARP.
    Source: Yin et al., "Challenging the long tail recommendation", PVLDB 2012.

    Raises:
        ConfigError: `k` is below 1.
        DataError: the popularity of an id is not known.

    Example:
        >>> average_popularity(["a", "b", "c"], {"a": 8, "b": 2, "c": 0}, k=2)
        5.0
    """
    return _mean(_counts(_top(ids, k), popularity))


def popularity_lift(
    ids: Sequence[str], history: Sequence[str], popularity: Popularity, *, k: int = 10
) -> float | None:
    """Return how much more popular the first k items are than the user's own, as a share of the latter.

    (q - p) / p, with q the average popularity of the first k and p that of the history; 0 is faithful, 1 is
    twice as popular. None for an empty list or history, or one that nobody has.
    Source: Abdollahpouri et al., "The connection between popularity bias, calibration, and fairness in
    recommendation", RecSys 2020; for a whole group see `group_lift`.

    Raises:
        ConfigError: `k` is below 1.
        DataError: the popularity of an id is not known.

    Example:
        >>> popularity_lift(["a"], ["b", "c"], {"a": 9, "b": 2, "c": 4})
        2.0
    """
    q, p = average_popularity(ids, popularity, k=k), _mean(_counts(history, popularity))
    return group_lift([q], [p]) if q is not None and p is not None else None


def group_lift(recommended: Sequence[float], own: Sequence[float]) -> float | None:
    """Return the popularity lift of a group: (mean of `recommended` - mean of `own`) / mean of `own`.

    Each holds the average popularity of one user's list or history. Unlike the mean of the users' lifts it is
    not ruled by a few users of rare taste. None for an empty group, or histories that nobody has.
    Source: Abdollahpouri et al., RecSys 2020, as `popularity_lift`.

    Example:
        >>> group_lift([6.0, 6.0], [1.0, 5.0])
        1.0
    """
    q, p = _mean(recommended), _mean(own)
    return (q - p) / p if q is not None and p else None


def miscalibration(
    ids: Sequence[str], history: Sequence[str], labels: Labels, *, k: int = 10, alpha: float = ALPHA
) -> float | None:
    """Return how far the first k items are from the user's mix of categories, in nats; 0 is calibrated.

    KL(p || q') = sum over categories of p log(p / q'), q' = (1 - alpha) q + alpha p, with p and q the shares
    of categories in history and list; an item's weight is shared among its categories. Items without
    categories are left out; None if one side has none at all.
    Source: Steck, "Calibrated recommendations", RecSys 2018.

    Raises:
        ConfigError: `k` is below 1, or `alpha` is not above 0 and below 1.

    Example:
        >>> labels = {"a": ["Horror"], "b": ["Comedy"]}
        >>> miscalibration(["a"], ["a"], labels), round(miscalibration(["b"], ["a"], labels), 3)
        (0.0, 4.605)
    """
    if not 0 < alpha < 1:
        raise ConfigError(f"alpha {alpha!r} is not above 0 and below 1; 0.01 is usual.")
    own, shown = _mix(history, labels), _mix(_top(ids, k), labels)
    if not own or not shown:
        return None
    mixed = {name: (1 - alpha) * shown.get(name, 0.0) + alpha * share for name, share in own.items()}
    return max(0.0, sum(share * log(share / mixed[name]) for name, share in own.items()))


def event_rates(events: Iterable[Mapping[str, int]]) -> dict[str, float]:
    """Return, for each event that happened at all, in which share of the rankings it did.

    Takes `Ranking.provenance.events` of each ranking: ties, dropped history, cut texts, low label mass,
    unknown, duplicate and missing ids, by whatever name a mode counts them.

    Example:
        >>> event_rates([{"tied": 4}, {}, {"tied": 2, "all_tied": 1}, {}])
        {'all_tied': 0.25, 'tied': 0.5}
    """
    all_events = list(events)
    met = Counter(name for one in all_events for name, count in one.items() if count)
    return {name: met[name] / len(all_events) for name in sorted(met)}


def _top(ids: Sequence[str], k: int) -> Sequence[str]:
    if k < 1:
        raise ConfigError(f"Cut k={k!r} is below 1; give the number of top ranks to look at.")
    return ids[:k]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _counts(ids: Sequence[str], popularity: Popularity) -> list[float]:
    unknown = [i for i in ids if i not in popularity]
    if unknown:
        raise DataError(
            f"The popularity of item {unknown[0]!r} is not known; rank items of the catalogue only."
        )
    return [float(popularity[i]) for i in ids]


def _exposure(lists: Iterable[Sequence[str]], catalogue: Collection[str], k: int) -> NDArray[np.int64]:
    """How often each item of the catalogue stands among somebody's first k."""
    shown = Counter(i for ids in lists for i in _top(ids, k))
    counts = np.array([shown.pop(i, 0) for i in catalogue], np.int64)
    if not len(counts):
        raise DataError("The catalogue is empty, so there is nothing to cover.")
    if shown:
        raise DataError(f"Item {next(iter(shown))!r} is recommended but not in the catalogue.")
    return counts


def _mix(ids: Sequence[str], labels: Labels) -> dict[str, float]:
    """The share of each label, every labelled item weighing the same."""
    mix: Counter[str] = Counter()
    labelled = [set(labels[i]) for i in ids if labels.get(i)]
    for names in labelled:
        for name in names:
            mix[name] += 1 / len(names) / len(labelled)  # type: ignore[assignment]
    return dict(mix)
