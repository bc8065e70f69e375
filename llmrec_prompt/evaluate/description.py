"""One table of all that rankings show besides accuracy, with what it needs read off a data set."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import DataError
from llmrec_prompt.evaluate.lists import (
    Labels,
    Popularity,
    Vector,
    average_popularity,
    category_diversity,
    coverage,
    event_rates,
    gini,
    group_lift,
    miscalibration,
    novelty,
    popularity_lift,
    vector_diversity,
)
from llmrec_prompt.types import Ranking

EVENT = "event:"
"""Before an event's name in the table: the share of rankings in which it happened."""

LONG = sys.maxsize
"""A cut below which nothing is: a whole history."""

Table = dict[str, dict[str, float | int | None]]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the metrics of lists need to know of a data set, beside the lists."""

    catalogue: tuple[str, ...]
    popularity: Popularity
    users: int
    labels: Labels

    @classmethod
    def of(cls, dataset: Dataset) -> "Facts":
        """Popularity from the logs; labels are categories, or tags in a catalogue without categories.

        Users are those who like something: a data set cut in time names others, who have nothing in it.
        """
        field = "categories" if any(item.categories for item in dataset.items) else "tags"
        ids = tuple(item.item_id for item in dataset.items)
        counts = dict(zip(ids, dataset.popularity().tolist(), strict=True))
        labels = {item.item_id: getattr(item, field) for item in dataset.items}
        return cls(ids, counts, len(np.unique(dataset.pairs()[0])), labels)


def user_values(
    ids: Sequence[str],
    history: Sequence[str],
    facts: Facts,
    k: int,
    vectors: Mapping[str, Vector] | None = None,
) -> dict[str, float | None]:
    """All metrics of one user's list by name, None where one is not defined; sources are in `lists`.

    Args:
        ids: ranked best first.
        history: ids of what the user has, without any target.
        facts: of the data set that the ranker was given.
        k: how many of the ids are looked at.
        vectors: of items, for the diversity of meanings.

    Raises:
        ConfigError: `k` is below 1.
        DataError: an id is not in the catalogue.
    """
    popularity, labels = facts.popularity, facts.labels
    return {
        f"diversity@{k}": category_diversity(ids, labels, k=k),
        **({f"vector_diversity@{k}": vector_diversity(ids, vectors, k=k)} if vectors is not None else {}),
        f"novelty@{k}": novelty(ids, popularity, facts.users, k=k) if facts.users else None,
        f"popularity@{k}": average_popularity(ids, popularity, k=k),
        f"popularity_lift@{k}": popularity_lift(ids, history, popularity, k=k),
        f"miscalibration@{k}": miscalibration(ids, history, labels, k=k),
    }


def describe_lists(
    lists: Mapping[str, Sequence[str]],
    histories: Mapping[str, Sequence[str]],
    facts: Facts,
    *,
    k: int = 10,
    vectors: Mapping[str, Vector] | None = None,
) -> Table:
    """All metrics of plain lists: `value`, and over how many users it is defined and is not.

    Args:
        lists: a user's ids, ranked best first.
        histories: each of these users' history, ids.
        facts: of the data set that the ranker was given.
        k: how many ids of a list are looked at.
        vectors: of items, for the diversity of meanings.

    Raises:
        ConfigError: `k` is below 1.
        DataError: there are no lists, a user has no history here, or an id is not in the catalogue.
    """
    strangers = [user for user in lists if user not in histories]
    if strangers or not lists:
        found = f"user {strangers[0]!r} without a history" if strangers else "no lists"
        raise DataError(f"Found {found}; describe at least one user's list, each with its history.")
    values = {user: user_values(ids, histories[user], facts, k, vectors) for user, ids in lists.items()}
    names = next(iter(values.values()))
    own = {user: average_popularity(histories[user], facts.popularity, k=LONG) for user in lists}
    pairs = [(row[f"popularity@{k}"], own[user]) for user, row in values.items()]
    both = [(q, p) for q, p in pairs if q is not None and p is not None]
    return {
        **{name: _mean([row[name] for row in values.values()]) for name in names},
        f"coverage@{k}": _whole(coverage(lists.values(), facts.catalogue, k=k), len(lists)),
        f"gini@{k}": _whole(gini(lists.values(), facts.catalogue, k=k), len(lists)),
        f"group_popularity_lift@{k}": _whole(
            group_lift([q for q, _ in both], [p for _, p in both]), len(both)
        ),
    }


def describe(
    rankings: Sequence[Ranking],
    dataset: Dataset,
    k: int = 10,
    *,
    vectors: Mapping[str, Vector] | None = None,
) -> Table:
    """All metrics of rankings by name, and how often each event happened (`event:NAME`).

    Args:
        rankings: of users of the data set, each of them once.
        dataset: what the ranker was given: its histories must not hold the targets.
        k: how many lines of a ranking are looked at.
        vectors: of items, for the diversity of meanings.

    Returns:
        For each name `value` (over users, a mean), and for how many `users` it is defined and `undefined`.

    Raises:
        ConfigError: `k` is below 1.
        DataError: no rankings, a user twice or unknown, or an id that is not in the catalogue.

    Example:
        >>> from llmrec_prompt import Recommender
        >>> shop = Dataset.load("sample:movies")
        >>> popular = Recommender(shop, mode="popularity")
        >>> table = describe([popular.rank(user=u, candidates=shop.items) for u in shop.users], shop)
        >>> table["gini@10"]["value"] > table["coverage@10"]["value"]
        True
    """
    lists = {ranking.user or "": ranking.top(k).ids for ranking in rankings}  # those below may be many
    unknown = lists.keys() - set(dataset.users)
    if unknown or len(lists) < len(rankings):
        found = f"user {min(unknown)!r}" if unknown else "a user twice"
        raise DataError(f"Found {found} in the rankings; give one for each user, all of {dataset.name}.")
    histories = {user: [seen.item_id for seen in dataset.history(user)] for user in lists}
    rates = event_rates(ranking.provenance.events for ranking in rankings)
    return {
        **describe_lists(lists, histories, Facts.of(dataset), k=k, vectors=vectors),
        **{f"{EVENT}{name}": _whole(rate, len(rankings)) for name, rate in rates.items()},
    }


def _whole(value: float | None, users: int) -> dict[str, float | int | None]:
    return {"value": value, "users": users, "undefined": 0}


def _mean(values: Sequence[float | None]) -> dict[str, float | int | None]:
    known = [value for value in values if value is not None]
    mean = sum(known) / len(known) if known else None
    return {"value": mean, "users": len(known), "undefined": len(values) - len(known)}
