"""Negatives that cheap scorers take for likely: the best of BM25, popularity and co-occurrence."""

from collections.abc import Sequence

from llmrec_prompt.data import Case, Dataset, Split, mixed, seen
from llmrec_prompt.errors import DataError, UnknownName
from llmrec_prompt.retrieve import Retriever
from llmrec_prompt.scorers import Ingredients, build_scorer
from llmrec_prompt.templates import Domain, Prompter, load_domain

SCORERS = ("bm25", "popularity", "co-occurrence")


class HardNegatives:
    """Candidates of a case: the target and the best items of the scorers, who take turns, best first.

    The scorers are fitted on the logs by which negatives are drawn, which hold no target. The target stands
    in the catalogue like any other item: when the scorers miss it, it takes the place of their last find.
    `facts["targets_retrieved"]` counts how often they did not miss it.
    """

    def __init__(self, split: Split, *, n: int, seed: int, facts: dict[str, object]) -> None:
        self._logs, self._known = split.drawn_from or split.train, split.known or split.train
        given = Ingredients(self._logs, Prompter(_domain(self._logs), catalogue=self._logs.items))
        self._retriever = Retriever(self._logs, [build_scorer(name, given) for name in SCORERS], size=n)
        self._n, self._seed, self._facts, self._hits = n, seed, facts, 0
        facts |= {"retrieved_by": list(SCORERS), "targets_retrieved": 0}

    def __call__(self, case: Case) -> Sequence[str]:
        """The ids, in a seeded order.

        Raises:
            DataError: the catalogue has too few items that the user never met.
        """
        history = [self._logs.item(item_id) for item_id in case.history]
        met = seen(self._known, case) - case.relevant
        found = [item.item_id for item in self._retriever.retrieve(history, met)]
        self._hits += case.target in found
        self._facts["targets_retrieved"] = self._hits
        others = [item_id for item_id in found if item_id != case.target][: self._n - 1]
        if len(others) < self._n - 1:
            raise DataError(
                f"User {case.user_id!r} has {len(others)} unseen items in {self._logs.name}; "
                f"{self._n} candidates need {self._n - 1}: ask for fewer."
            )
        return mixed([case.target, *others], case, "retrieved", seed=self._seed)


def _domain(logs: Dataset) -> Domain:
    """The data's own, for the texts that scorers read; what the data calls it may be known to nobody here."""
    try:
        return load_domain(logs.domain)
    except UnknownName:
        return load_domain("generic")
