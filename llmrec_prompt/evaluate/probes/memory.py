"""Has the model read the catalogue, or this very data set, before? Needs nothing but `Backend.score`.

Both probes compare a text with the same text in another's place, so what is likely anywhere cancels out, and
a model that knows nothing wins half of the comparisons. Winning more is not proof: a fluent model completes a
title by grammar, and a good recommender prefers a user's own next item by taste. Read them against another
model, or against a catalogue that no model has read. After Di Palma et al., "Do LLMs memorize recommendation
datasets?", SIGIR 2025, who ask for the lines of MovieLens-1M.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmrec_prompt.backends import Backend, ScoreRequest, require
from llmrec_prompt.data.splits import seeded_order
from llmrec_prompt.errors import DataError
from llmrec_prompt.evaluate.statistics import bootstrap_interval, paired_test
from llmrec_prompt.progress import track

CHANCE = 0.5


@dataclass(frozen=True, slots=True)
class MemoryProbe:
    """`wins[key]`: the share of comparisons an item or pair wins, ties as half; `gain[key]` by how many nats.

    A pair of users goes by the first of them. `left_out` counts what could not be asked: titles of one word,
    a user without a partner.
    """

    wins: Mapping[str, float]
    gain: Mapping[str, float]
    left_out: int = 0
    seed: int = 0

    def summary(self) -> dict[str, Any]:
        """Mean share of wins with its interval, the p value of chance (one half), mean gain in nats."""
        wins = np.array(list(self.wins.values()), np.float64)
        return {
            "asked": len(wins),
            "left_out": self.left_out,
            "wins": bootstrap_interval(wins, seed=self.seed).as_dict(),
            "chance": CHANCE,
            "p": paired_test(wins, np.full(len(wins), CHANCE), seed=self.seed),
            "gain": float(np.mean(list(self.gain.values()))),
        }


def probe_titles(
    backend: Backend,
    titles: Mapping[str, str],
    *,
    frame: str = "Title:\n{start}",
    shuffles: int = 4,
    seed: int = 0,
) -> MemoryProbe:
    """Is the end of a title likelier after its own start than after the starts of other titles?

    Args:
        backend: must be able to score.
        titles: by item id. They are cut in the middle, between words; those of one word are left out.
        frame: what the start is put into.
        shuffles: how many other starts each end is scored after; as many as there are if fewer.
        seed: of who lends a start to whom.

    Raises:
        Unsupported: the backend cannot score.
        DataError: fewer than two titles can be cut.
    """
    require(backend, "score", wanted_by="The title probe")
    halves = {key: _halves(title) for key, title in titles.items() if len(title.split()) > 1}
    partners = _partners(list(halves), shuffles, seed, "titles")
    wins, gain = {}, {}
    for key, (start, end) in track(halves.items(), "Probing titles", len(halves)):
        others = [halves[other][0] for other in partners[key]]
        requests = [ScoreRequest(frame.format(start=text), [end]) for text in (start, *others)]
        own, *foreign = (scores[0].logprob for scores in backend.score(requests))
        wins[key], gain[key] = _against([own - other for other in foreign])
    return MemoryProbe(wins, gain, len(titles) - len(halves), seed)


def probe_exchange(
    backend: Backend,
    prompts: Mapping[str, str],
    nexts: Mapping[str, str],
    *,
    seed: int = 0,
) -> MemoryProbe:
    """Are two users' true next items likelier after their own histories than exchanged?

    For a pair of users the gain is log p(own | own history) summed over both, less the same with the next
    items exchanged: priors of items and of histories cancel out. Each user is in one pair, and pairs are what
    is resampled: with several partners each, one user's surprise would be in many gains at once, and chance
    would look like memory.

    Args:
        backend: must be able to score.
        prompts: by user, the history as the model reads it, without the next item (`Prompter.history`).
        nexts: by user, the line of the true next item (`Prompter.continuation`).
        seed: of who exchanges with whom; of an odd number of users the last is left out.

    Raises:
        Unsupported: the backend cannot score.
        DataError: fewer than two users, or a user has a prompt or a next item only.
    """
    require(backend, "score", wanted_by="The exchange probe")
    lonely = prompts.keys() ^ nexts.keys()
    if lonely:
        raise DataError(f"User {min(lonely)!r} has a prompt or a next item only; give both for every user.")
    if len(prompts) < 2:
        raise DataError(f"{len(prompts)} users have nobody to exchange with: give at least two.")
    order = seeded_order(list(prompts), seed)
    pairs = list(zip(order[::2], order[1::2], strict=False))
    wins, gain = {}, {}
    for a, b in track(pairs, "Probing exchanges", len(pairs)):
        wins[a], gain[a] = _against([_exchange(backend, prompts, nexts, a, b)])
    return MemoryProbe(wins, gain, len(prompts) % 2, seed)


def _exchange(
    backend: Backend, prompts: Mapping[str, str], nexts: Mapping[str, str], a: str, b: str
) -> float:
    """What two users' next items gain by standing after their own histories; nothing if they are the same."""
    if nexts[a] == nexts[b]:
        return 0.0
    requests = [ScoreRequest(prompts[user], [nexts[user], nexts[other]]) for user, other in ((a, b), (b, a))]
    return sum(own.logprob - foreign.logprob for own, foreign in backend.score(requests))


def _against(gains: Sequence[float]) -> tuple[float, float]:
    """The share of gains above zero, ties as half, and their mean."""
    array = np.array(gains, np.float64)
    return float(((array > 0) + 0.5 * (array == 0)).mean()), float(array.mean())


def _partners(keys: Sequence[str], count: int, seed: int, what: str) -> dict[str, list[str]]:
    """For each key the next ones in a seeded circle, so that everybody lends as often as borrows."""
    if len(keys) < 2 or count < 1:
        raise DataError(f"{len(keys)} {what} with {count} partners: give at least two, and one partner.")
    circle = seeded_order(list(keys), seed)
    steps = range(1, min(count, len(circle) - 1) + 1)
    return {key: [circle[(n + step) % len(circle)] for step in steps] for n, key in enumerate(circle)}


def _halves(title: str) -> tuple[str, str]:
    """A title cut in the middle; the second half begins with its space.

    >>> _halves("The Lord of the Rings")
    ('The Lord', ' of the Rings')
    """
    words = title.split()
    middle = len(words) // 2
    return " ".join(words[:middle]), " " + " ".join(words[middle:])
