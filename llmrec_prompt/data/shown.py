"""The split by impressions: what was clicked among what was really shown."""

import math
from collections.abc import Container

from llmrec_prompt.data.dataset import Dataset
from llmrec_prompt.data.impressions import Impression
from llmrec_prompt.data.splits import Case, Split, check_numbers, choose
from llmrec_prompt.errors import DataError
from llmrec_prompt.types import Interaction


def last_impression(
    dataset: Dataset,
    *,
    users: int | None,
    seed: int,
    min_history: int = 1,
    among: Container[str] | None = None,
) -> Split:
    """Hold out what sampled users clicked in their last impression; what they passed over stands beside it.

    The last is the latest, or the last in the file where there are no times; impressions without a click
    do not count. The history is that of the impression, or else what was liked before it. Shown items that
    the user is known to have met are neither right nor wrong, and left out. Users are taken in the order of
    `leave_last_out`.

    Raises:
        ConfigError: users < 1 or min_history < 0.
        DataError: the data set has no impressions, or nobody can be asked.
    """
    check_numbers(users, min_history)
    last, notes = _last_of_each(dataset)
    found = (_case(dataset, impression) for impression in last.values())
    cases = [case for case in found if case and len(case.history) >= min_history]
    if not cases:
        raise DataError(
            f"No user of {dataset.name} with {min_history} items of history clicked one item shown and not "
            f"another ({len(last)} users with clicks)."
        )
    chosen = choose(cases, users, seed, among)
    train = dataset.without((case.user_id, item_id) for case in chosen for item_id in case.relevant)
    return Split(train, chosen, len(cases), known=dataset, notes=notes)


def _last_of_each(dataset: Dataset) -> tuple[dict[str, Impression], dict[str, float]]:
    """The last impression with a click of each user of the data set, and what was counted."""
    if not dataset.has_impressions:
        raise DataError(
            f"{dataset.name} does not say what was shown. Impressions need an impressions.jsonl or a MIND "
            "folder; use other negatives."
        )
    last: dict[str, Impression] = {}
    users, total, idle = frozenset(dataset.users), 0, 0
    for impression in dataset.impressions():
        total += 1
        idle += not impression.clicked
        if impression.clicked and impression.user_id in users:
            before = last.get(impression.user_id)
            if before is None or _moment(impression) >= _moment(before):
                last[impression.user_id] = impression
    return last, {"impressions": total, "impressions_without_click": idle}


def _moment(impression: Impression) -> float:
    return -math.inf if impression.timestamp is None else impression.timestamp


def _case(dataset: Dataset, impression: Impression) -> Case | None:
    """A case, if something is right and something wrong."""
    history = _history(dataset, impression)
    clicked = _new(dataset, impression.clicked, frozenset(history))
    met = dataset.consumed(impression.user_id) | {*history, *clicked}
    passed_over = _new(dataset, impression.shown, met)
    if not clicked or not passed_over:
        return None
    return Case(impression.user_id, history, clicked[0], clicked[1:], passed_over)


def _history(dataset: Dataset, impression: Impression) -> tuple[str, ...]:
    """What the impression says the user had, or else what the logs have before it and its first click."""
    if impression.history is not None:
        return _new(dataset, impression.history, frozenset())
    liked = dataset.history(impression.user_id)
    clicked, moment = {*impression.clicked}, impression.timestamp
    end = next(
        (n for n, like in enumerate(liked) if like.item_id in clicked or _reached(like, moment)), len(liked)
    )
    return tuple(like.item_id for like in liked[:end])


def _reached(like: Interaction, moment: float | None) -> bool:
    """Whether something is known to have happened at a moment or after it."""
    return moment is not None and like.timestamp is not None and like.timestamp >= moment


def _new(dataset: Dataset, ids: tuple[str, ...], known: frozenset[str]) -> tuple[str, ...]:
    """The ids of the catalogue that are not known, each once, as the catalogue's own strings."""
    rows = (dataset.index[i] for i in dict.fromkeys(ids) if i in dataset.index and i not in known)
    return tuple(dataset.items[row].item_id for row in rows)
