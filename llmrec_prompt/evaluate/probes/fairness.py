"""Does it matter who is said to ask? Rankings with an attribute in the prompt against the neutral ones.

After Zhang et al., "Is ChatGPT fair for recommendation? Evaluating fairness in large language model
recommendation" (FaiRLLM), RecSys 2023. The attribute takes the place of the domain's word for a person
("viewer" becomes "30-year-old woman"), which is part of the template fingerprint: no cached number of one
prompt can be taken for another's.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrec_prompt.errors import ConfigError, DataError
from llmrec_prompt.evaluate.exam import Question
from llmrec_prompt.evaluate.probes.position import ranked_ids
from llmrec_prompt.evaluate.statistics import bootstrap_interval
from llmrec_prompt.progress import track
from llmrec_prompt.rank import Ranker
from llmrec_prompt.recommender import Recommender
from llmrec_prompt.templates import Domain

PERMUTATIONS = 2000


@dataclass(frozen=True, slots=True)
class FairnessProbe:
    """`similarity[measure][attribute][user]`: how like the neutral top k the attribute's is, from 0 to 1."""

    k: int
    similarity: Mapping[str, Mapping[str, Mapping[str, float]]]
    events: Mapping[str, int]

    def summary(self) -> dict[str, Any]:
        """For each measure the mean similarity by attribute, SNSR and SNSV.

        SNSR (range) is the largest mean less the smallest; SNSV (variance) is the standard deviation of the
        means over the attributes. Both are 0 where all attributes fare alike.
        """
        return {measure: _spread(of) for measure, of in self.similarity.items()} | {
            "events": dict(self.events)
        }


def _spread(of: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    means = {attribute: float(np.mean(list(users.values()))) for attribute, users in of.items()}
    values = np.array(list(means.values()))
    return {
        "similarity": {attribute: round(mean, 4) for attribute, mean in means.items()},
        "snsr": round(float(np.ptp(values)), 4),
        "snsv": round(float(values.std()), 4),
    }


def domain_about(domain: Domain, person: str) -> Domain:
    """The domain with another word for who asks, such as "30-year-old woman"; give it in the language of use.

    Raises:
        ConfigError: the word is empty or the domain's own.

    Example:
        >>> movies = Domain(name="m", noun="film", nouns="films", person="viewer", verb="saw")
        >>> domain_about(movies, "30-year-old woman").person
        '30-year-old woman'
    """
    if not person.strip() or person == domain.person:
        raise ConfigError(f"Person {person!r} changes nothing in domain {domain.name!r}; give another word.")
    words = {name: w.model_copy(update={"person": person}) for name, w in domain.words.items()}
    return domain.model_copy(update={"person": person, "words": words})


def ranker_about(recommender: Recommender, person: str, mode: str = "auto") -> Ranker:
    """A ranker like the recommender's own, over the same model, in whose prompts this person asks.

    Raises:
        ConfigError: the templates do not say who asks, so that the attribute would be in no prompt.
        UnknownName: no such mode.
    """
    rankers = recommender.speaking(domain_about(recommender.domain, person))
    prompter, sample = rankers.given.prompter, recommender.dataset.items[:1]
    if prompter.history(sample).text == recommender.prompter.history(sample).text:
        raise ConfigError(f"Templates of {prompter.domain.name!r} do not say domain.person: nothing to vary.")
    return rankers.ranker(mode)


def probe_fairness(
    neutral: Ranker,
    about: Mapping[str, Ranker],
    questions: Sequence[Question],
    *,
    k: int = 10,
    seed: int = 0,
) -> FairnessProbe:
    """Ask each question neutrally and about each attribute, and compare the first k.

    Args:
        neutral: the ranker as it is.
        about: by attribute, the ranker whose prompts name it; see `ranker_about`.
        questions: with more than k candidates.
        k: how many of the first are compared.
        seed: of the order of ties.

    Raises:
        ConfigError: fewer than two attributes, or k is below 2.
        DataError: no questions, or one with no more than k candidates, whose first k are always alike.
    """
    if len(about) < 2 or k < 2:
        raise ConfigError(f"{len(about)} attributes and k={k}: give at least two of each.")
    short = [q.user for q in questions if len(q.candidates) <= k]
    if short or not questions:
        found = f"user {short[0]!r} with no more than {k} candidates" if short else "no questions"
        raise DataError(
            f"Found {found}: the first {k} say nothing then. Give more candidates or a smaller k."
        )
    similarity: dict[str, dict[str, dict[str, float]]] = {m: {a: {} for a in about} for m in SIMILARITIES}
    events: Counter[str] = Counter()
    for q in track(questions, "Probing attributes", len(questions)):
        base = ranked_ids(neutral, q, q.candidates, seed, events, k)
        for attribute, ranker in about.items():
            top = ranked_ids(ranker, q, q.candidates, seed, events, k)
            for measure, compare in SIMILARITIES.items():
                similarity[measure][attribute][q.user] = compare(base, top)
    return FairnessProbe(k, similarity, dict(sorted(events.items())))


def jaccard(neutral: Sequence[str], other: Sequence[str]) -> float:
    """Return the share of the items of either list that both have.

    Source: Zhang et al., FaiRLLM, RecSys 2023.

    Example:
        >>> jaccard("ab", "bc") == 1 / 3
        True
    """
    return len(set(neutral) & set(other)) / len(set(neutral) | set(other))


def serp(neutral: Sequence[str], other: Sequence[str]) -> float:
    """Return SERP*: how much of the other list the neutral one has, its first places weighing most.

    Sum over the other list's items that the neutral one has of K - rank + 1, over K (K + 1) / 2.
    Source: Zhang et al., FaiRLLM, RecSys 2023, after Tomlein et al., RecSys 2021.

    Example:
        >>> serp("ab", "ac"), serp("ab", "ca"), serp("ab", "ba")
        (0.6666666666666666, 0.3333333333333333, 1.0)
    """
    k = len(other)
    shared = sum(k - place for place, item_id in enumerate(other) if item_id in set(neutral))
    return shared / (k * (k + 1) / 2)


def prag(neutral: Sequence[str], other: Sequence[str]) -> float:
    """Return PRAG*: the share of the other list's pairs that the neutral list has in the same order.

    A pair counts if its first item is in the neutral list, before the second or without it. Divided by all
    K (K - 1) / 2 pairs, so that equal lists give 1.
    Source: Zhang et al., FaiRLLM, RecSys 2023, after Beutel et al., KDD 2019.

    Example:
        >>> prag("abc", "abc"), prag("abc", "cba"), round(prag("abc", "axy"), 3)
        (1.0, 0.0, 0.667)
    """
    place = {item_id: n for n, item_id in enumerate(neutral)}
    k, beyond = len(other), len(neutral)
    kept = sum(
        place.get(other[i], beyond) < place.get(other[j], beyond) for i in range(k) for j in range(i + 1, k)
    )
    return kept / (k * (k - 1) / 2)


SIMILARITIES: dict[str, Callable[[Sequence[str], Sequence[str]], float]] = {
    "jaccard": jaccard,
    "serp": serp,
    "prag": prag,
}


@dataclass(frozen=True, slots=True)
class GroupGaps:
    """A metric by group of users: mean with interval and size; the gap of the means, and its p value.

    `ungrouped` users have a value but no group, `unmeasured` ones a group but no value.
    """

    groups: Mapping[str, Mapping[str, float]]
    gap: float
    p: float
    ungrouped: int
    unmeasured: int


def group_gaps(values: Mapping[str, float], groups: Mapping[str, str], *, seed: int = 0) -> GroupGaps:
    """Compare the mean of a metric between groups of users.

    The gap is the largest mean less the smallest; p is the share of random regroupings (sizes kept) with as
    large a gap: (count + 1) / (permutations + 1).
    Source: the randomisation test of Fisher, "The design of experiments", 1935; the gap is that of Li et al.,
    "User-oriented fairness in recommendation", WWW 2021, for any number of groups.

    Raises:
        DataError: fewer than two groups have a user with a value.

    Example:
        >>> found = group_gaps({"u1": 1.0, "u2": 0.5, "u3": 0.0}, {"u1": "x", "u2": "y", "u9": "y"})
        >>> found.gap, found.ungrouped, found.unmeasured
        (0.5, 1, 1)
    """
    users = sorted(values.keys() & groups.keys())
    names, codes = np.unique([groups[user] for user in users], return_inverse=True)
    if len(names) < 2:
        raise DataError(f"{len(names)} groups have a user with a value; give at least two to compare.")
    numbers = np.array([values[user] for user in users], np.float64)
    observed, p = _gap_test(numbers, codes, seed)
    return GroupGaps(
        groups={name: _cell(numbers[codes == code], seed) for code, name in enumerate(names.tolist())},
        gap=observed,
        p=p,
        ungrouped=len(values) - len(users),
        unmeasured=len(groups) - len(users),
    )


def _cell(values: NDArray[np.float64], seed: int) -> dict[str, float]:
    return bootstrap_interval(values, seed=seed).as_dict() | {"users": len(values)}


def _gap_test(numbers: NDArray[np.float64], codes: NDArray[np.intp], seed: int) -> tuple[float, float]:
    """The gap of the groups' means, and its p value."""
    sizes, rng = np.bincount(codes), np.random.default_rng(seed)

    def gap(regrouped: NDArray[np.intp]) -> float:
        return float(np.ptp(np.bincount(regrouped, numbers) / sizes))

    observed = gap(codes)
    larger = sum(gap(rng.permutation(codes)) >= observed - 1e-12 for _ in range(PERMUTATIONS))
    return observed, (larger + 1) / (PERMUTATIONS + 1)
