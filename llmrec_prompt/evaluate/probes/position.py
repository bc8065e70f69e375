"""Does the place of an item among the candidates change its rank? It should not.

Each question is asked again with the target at several places, and with all candidates shuffled. Hou et al.,
"Large language models are zero-shot rankers for recommender systems", ECIR 2024, find such a bias in models
that are asked for a list.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrec_prompt.data.splits import seeded_order
from llmrec_prompt.errors import ConfigError, DataError
from llmrec_prompt.evaluate.exam import Question
from llmrec_prompt.progress import track
from llmrec_prompt.rank import Ranker, Request, rank
from llmrec_prompt.types import Item

PERMUTATIONS = 2000
CELLS = 2**20
"""Numbers permuted at once: 8 MiB."""


@dataclass(frozen=True, slots=True)
class PositionProbe:
    """`ranks[user]` holds the target's rank for each of `places` (0 first, 1 last); `tau[user]` an agreement.

    `events` sums what the rankings tell: where `all_tied` is among them a model did not answer at all, and
    the order of a tie depends on no place.
    """

    places: tuple[float, ...]
    ranks: Mapping[str, tuple[int, ...]]
    tau: Mapping[str, float]
    events: Mapping[str, int]
    seed: int = 0

    def summary(self) -> dict[str, Any]:
        """Mean rank by place and its spread, the p value of no bias, the mean Kendall tau under shuffles."""
        table = np.array(list(self.ranks.values()), np.float64)
        means = table.mean(axis=0)
        return {
            "users": len(table),
            "mean_rank": dict(zip(map(str, self.places), means.round(4).tolist(), strict=True)),
            "spread": round(float(np.ptp(means)), 4),
            "p": place_test(table, seed=self.seed),
            "tau": round(float(np.mean(list(self.tau.values()))), 4),
            "events": dict(self.events),
        }


def probe_position(
    ranker: Ranker,
    questions: Sequence[Question],
    targets: Mapping[str, Collection[str]],
    *,
    places: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
    shuffles: int = 3,
    seed: int = 0,
) -> PositionProbe:
    """Ask each question `places` + `shuffles` times.

    Args:
        ranker: any mode.
        questions: with at least two candidates, the target among them.
        targets: ids per user; of several, one is taken by the seed and the others stay candidates.
        places: where the target is put, as a share of the way from the first place (0) to the last (1); the
            other candidates keep one seeded order.
        shuffles: how often all candidates are shuffled, at least twice.
        seed: of the orders.

    Raises:
        ConfigError: fewer than two places or shuffles, or a place outside 0 to 1.
        DataError: no question, or a target that is not among the candidates.
    """
    if len(places) < 2 or shuffles < 2 or not all(0 <= place <= 1 for place in places):
        raise ConfigError(
            f"places {tuple(places)} and {shuffles} shuffles: give two or more, places in [0, 1]."
        )
    if not questions:
        raise DataError("There is no question to probe with. Give at least one.")
    ranks, tau = {}, {}
    events: Counter[str] = Counter()
    for question in track(questions, "Probing positions", len(questions)):
        target, others = _apart(question, targets[question.user], seed)
        orders = [_put(target, others, place) for place in places]
        orders += [_shuffled([target, *others], seed, question.user, n) for n in range(shuffles)]
        rankings = [ranked_ids(ranker, question, order, seed, events) for order in orders]
        placed, shuffled = rankings[: len(places)], rankings[len(places) :]
        ranks[question.user] = tuple(ids.index(target.item_id) + 1 for ids in placed)
        tau[question.user] = float(np.mean([kendall_tau(a, b) for a, b in combinations(shuffled, 2)]))
    return PositionProbe(tuple(places), ranks, tau, dict(sorted(events.items())), seed)


def ranked_ids(
    ranker: Ranker,
    question: Question,
    candidates: Sequence[Item],
    seed: int,
    events: Counter[str],
    most: int | None = None,
) -> tuple[str, ...]:
    """The ranked ids, all or the first `most`; what happened is added to the events."""
    ranking = rank(ranker, question.history, candidates, Request(user=question.user, seed=seed), most=most)
    events.update(ranking.provenance.events)
    return ranking.ids


def kendall_tau(a: Sequence[str], b: Sequence[str]) -> float:
    """Return the rank correlation of two orders of the same ids: 1 the same, -1 reversed.

    (concordant pairs - discordant pairs) / all pairs.
    Source: Kendall, "A new measure of rank correlation", Biometrika 1938.

    Raises:
        DataError: the orders are not of the same two or more ids, each once.

    Example:
        >>> kendall_tau("abc", "abc"), kendall_tau("abc", "cba"), round(kendall_tau("abc", "acb"), 3)
        (1.0, -1.0, 0.333)
    """
    place = {item_id: n for n, item_id in enumerate(b)}
    if len(a) < 2 or len(place) != len(b) or len(a) != len(b) or set(a) != set(b):
        raise DataError("Kendall's tau compares two orders of the same ids, two or more, each once.")
    other = np.array([place[item_id] for item_id in a])
    later = np.sign(other[None, :] - other[:, None])[np.triu_indices(len(a), 1)]
    return float(later.mean())


def place_test(ranks: NDArray[np.float64], *, permutations: int = PERMUTATIONS, seed: int = 0) -> float:
    """Return the p value that no place is better for the target than another.

    The statistic is the variance over places of the mean rank. If places do not matter, each user's ranks
    may be permuted among them: p = (count of permutations with as large a statistic + 1) / (all + 1).
    Source: the permutation form of Friedman, "The use of ranks to avoid the assumption of normality", JASA
    1937.

    Args:
        ranks: (users, places).
        permutations: how many.
        seed: of the permutations.

    Example:
        >>> place_test(np.array([[1.0, 1.0], [4.0, 4.0]])), place_test(np.array([[1.0, 2.0]] * 20)) < 0.001
        (1.0, True)
    """
    rng = np.random.default_rng(seed)
    observed = ranks.mean(axis=0).var() - 1e-12  # equal statistics add up in another order
    block = max(1, CELLS // ranks.size)
    count = 0
    for start in range(0, permutations, block):
        copies = np.broadcast_to(ranks, (min(block, permutations - start), *ranks.shape))
        means = rng.permuted(copies, axis=2).mean(axis=1)
        count += int((means.var(axis=1) >= observed).sum())
    return (count + 1) / (permutations + 1)


def _apart(question: Question, targets: Collection[str], seed: int) -> tuple[Item, list[Item]]:
    """The target, and the other candidates in a seeded order that no target has touched."""
    by_id = {item.item_id: item for item in question.candidates}
    target = targets if isinstance(targets, str) else seeded_order(list(targets), seed)[0]
    if target not in by_id or len(by_id) < 2:
        raise DataError(
            f"Target {target!r} of user {question.user!r} is not among {len(by_id)} candidates, or alone."
        )
    others = [by_id[i] for i in seeded_order([i for i in by_id if i != target], seed)]
    return by_id[target], others


def _put(target: Item, others: Sequence[Item], place: float) -> list[Item]:
    at = round(place * len(others))
    return [*others[:at], target, *others[at:]]


def _shuffled(items: Sequence[Item], seed: int, user: str, number: int) -> list[Item]:
    by_id = {item.item_id: item for item in items}
    salted = {f"{user}\x1f{number}\x1f{i}": i for i in by_id}
    return [by_id[salted[key]] for key in seeded_order(list(salted), seed)]
