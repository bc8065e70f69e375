"""Where a ranker is good: over the cut, the length of the history, the target's popularity, its place."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from llmrec_prompt.evaluate.reports.chance import guesses
from llmrec_prompt.evaluate.reports.rows import Answers, Asked, Floats, Ints, Tally

MAIN_METRIC = "ndcg@10"
DEEPEST = 20
"""The largest cut of the curve of hit rates."""
LENGTHS = (0, 1, 3, 6, 11, 21, 51)
"""Where the groups of history lengths begin."""
GROUPS = 4
"""Groups of equal size by popularity, of equal width by place."""
FEWEST = 5
"""A group of fewer users is left out: its mean says nothing."""
LISTED = 100
"""Of more candidates than these no prompt lists all, so the place of the target plays no part."""

Chart = dict[str, Any]
"""`title`, `x` and `y` (what the axes are), `at` (labels along x), `users` (in each group), `series` (ranker
→ a number or None for each label), `chance` (the same of guessing)."""


def curves(found: Tally, order: Sequence[str]) -> dict[str, Chart]:
    """All charts that there is the data for, by name; rankers in the given order."""
    if not order:
        return {}
    charts = {"cut": hits(found, order)}
    charts.update((name, _grouped(found, order, *group)) for name, group in _groups(found.asked))
    return {name: chart for name, chart in charts.items() if len(chart["at"]) > 1}


def hits(found: Tally, order: Sequence[str]) -> Chart:
    """Hit rate at every cut: the share of users whose target is among the first k."""
    sizes = np.array(found.asked.candidates)
    cuts = np.arange(1, min(DEEPEST, int(sizes.max())) + 1)
    return {
        "title": "Hit rate over the cut",
        "x": "first k",
        "y": "HR@k",
        "at": [str(k) for k in cuts],
        "users": [len(sizes)] * len(cuts),
        "series": {
            name: [_mean(np.array(found.answers[name].ranks) <= k) for k in cuts.tolist()] for name in order
        },
        "chance": [_mean(guesses(found.asked, f"hr@{k}")) for k in cuts.tolist()],
    }


Group = tuple[str, str, Ints, list[str]]
"""Title, what x is, the group of each user (-1: none), labels of the groups."""


def _groups(asked: Asked) -> Iterator[tuple[str, Group]]:
    lengths = np.array(asked.history)
    groups = np.searchsorted(LENGTHS, lengths, side="right") - 1
    yield "history", ("By length of the history", "items in the history", groups, _spans(LENGTHS, ""))
    popularity = np.array(asked.popularity)
    if np.isfinite(popularity).any():
        yield "popularity", _by_popularity(popularity)
    sizes, place = np.array(asked.candidates), np.array(asked.place)
    if place.all() and sizes.max() <= LISTED:
        quarters = ((place - 1) * GROUPS // sizes).astype(np.int64)
        labels = ["first quarter", "second", "third", "last quarter"]
        yield "place", ("By the target's place in the list given", "place among candidates", quarters, labels)


def _by_popularity(popularity: Floats) -> Group:
    """Groups of about the same number of users, by how many users of the logs have the target."""
    known = popularity[np.isfinite(popularity)]
    inner = np.quantile(known, np.linspace(0, 1, GROUPS + 1)[1:-1], method="higher")
    starts = np.unique(np.concatenate([[known.min()], inner])).astype(np.int64)
    groups = np.searchsorted(starts, popularity, side="right") - 1
    groups[~np.isfinite(popularity)] = -1
    labels = _spans(starts.tolist(), str(int(known.max())))
    return ("By popularity of the target", "users who have the target", groups, labels)


def _spans(starts: Sequence[int], last: str) -> list[str]:
    """Labels of the groups that begin so.

    >>> _spans((0, 1, 3, 6), ""), _spans((2, 9), "40")
    (['0', '1-2', '3-5', '6+'], ['2-8', '9-40'])
    """
    ends = [f"{a}-{b - 1}" if b - a > 1 else str(a) for a, b in pairwise(starts)]
    final = str(starts[-1])
    return [*ends, f"{final}+" if not last else final if last == final else f"{final}-{last}"]


def _grouped(
    found: Tally, order: Sequence[str], title: str, x: str, groups: Ints, labels: list[str]
) -> Chart:
    """Mean of the main metric in each group that has enough users."""
    counts = np.bincount(groups[groups >= 0], minlength=len(labels))
    kept = [g for g in range(len(labels)) if counts[g] >= FEWEST]
    guessed = guesses(found.asked, MAIN_METRIC)
    return {
        "title": title,
        "x": x,
        "y": MAIN_METRIC.upper(),
        "at": [labels[g] for g in kept],
        "users": [int(counts[g]) for g in kept],
        "series": {name: _means(found.answers[name], groups, kept) for name in order},
        "chance": [_mean(guessed[groups == g]) for g in kept],
    }


def _means(answers: Answers, groups: Ints, kept: Sequence[int]) -> list[float | None]:
    own, values = groups[answers.places], answers.of(MAIN_METRIC)
    return [_mean(values[own == g]) for g in kept]


def _mean(values: Any) -> float | None:
    """Rounded; None of nothing."""
    return round(float(np.mean(values)), 4) if len(values) else None


def over_history(sheets: Sequence[Mapping[str, Any]]) -> Chart | None:
    """The cold-start curve: the same users and candidates, more and more of the history shown."""
    lengths = sorted({sheet["history"] for sheet in sheets})
    by_length = {sheet["history"]: sheet for sheet in sheets}
    if len(lengths) < 2:
        return None
    names = dict.fromkeys(name for sheet in sheets for name in sheet["rankers"])
    means = {
        name: [by_length[n]["rankers"].get(name, {}).get(MAIN_METRIC, {}).get("mean") for n in lengths]
        for name in names
    }
    return {
        "title": "By items shown of the history",
        "x": "items shown",
        "y": MAIN_METRIC.upper(),
        "at": [str(n) for n in lengths],
        "users": [by_length[n]["users"] for n in lengths],
        "series": means,
        "chance": [by_length[n]["chance"][MAIN_METRIC] for n in lengths],
    }
