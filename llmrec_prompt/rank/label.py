"""Ranking by labels: all candidates under letters, the next token says which (LlamaRec, Yue et al. 2023).

score(item) = mean over several orders of the candidates of log p(its label), normalised over the labels. A
label's place pulls a model towards it whatever stands there; each candidate stands under several labels, and
the pull averages out (permutation self-consistency, Tang et al. 2023).
"""

from collections import Counter
from collections.abc import Sequence
from itertools import product

import numpy as np

from llmrec_prompt.adapters import Card
from llmrec_prompt.backends import Backend, Choice, require, shortfall
from llmrec_prompt.errors import Unsupported
from llmrec_prompt.rank.asking import UNUSABLE, AskingRanker, shuffled
from llmrec_prompt.rank.base import Array
from llmrec_prompt.templates import Prompter
from llmrec_prompt.templates.prompter import LABELS
from llmrec_prompt.types import Candidates, History, Item, Scored

ORDERS = 4
"""Orders in which the candidates are shown."""
LOW_MASS = 0.1
"""Below this share of all probability the labels are hardly an answer: event `low_label_mass`."""


class LabelRanker(AskingRanker):
    """Asks which label comes next, once an order.

    Args:
        backend: must be able to choose.
        prompter: renders the questions.
        orders: how many orders are averaged.
        seed: of the orders.
        card: of the adapter in force, if it has one.

    Raises:
        Unsupported: the backend cannot choose.
    """

    name = "label"
    listwise = True

    def __init__(
        self,
        backend: Backend,
        prompter: Prompter,
        *,
        orders: int = ORDERS,
        seed: int = 0,
        card: Card | None = None,
    ) -> None:
        require(backend, "choose", wanted_by="Mode 'label'")
        super().__init__(backend, prompter, card)
        self._orders, self._seed = orders, seed
        self._more: tuple[str, ...] | None = None

    def score(self, history: History, candidates: Candidates) -> Scored:
        """Mean log-probabilities of the candidates' labels, in nats.

        Raises:
            DataError: the history is empty.
            Unsupported: there are more candidates than single-token labels.
            ContextOverflow: not even the latest history item fits.
            BackendError: a label is not one token after the prompt.
        """
        orders = self._turned(history, candidates)

        def ask(show: int, _: Counter[str]) -> list[Choice]:
            labels = self._labels(len(candidates))
            prompts = [self._prompter.label(history, order, show=show, labels=labels) for order in orders]
            return self._backend.choose(prompts, [f" {label}" for label in labels])

        choices, events, settings = self._asked(history, candidates, ask)
        count_shortfalls(choices, events)
        settings |= {
            "orders": len(orders),
            "label_mass": round(float(np.mean([choice.mass for choice in choices])), 4),
            **shortfall(self._backend, "choose"),
        }
        values = _means(orders, choices, candidates)
        return Scored({self.name: values}, {self.name: 1.0}, events=dict(+events), settings=settings)

    def _labels(self, count: int) -> tuple[str, ...]:
        """As many labels as candidates: letters, then pairs of letters that are known to be one token."""
        if count <= len(LABELS):
            return LABELS[:count]
        if self._more is None:
            guesses = self._backend.info.guesses_tokens
            pairs = () if guesses else (pair for pair in _pairs() if self._is_one_token(pair))
            self._more = LABELS + tuple(pairs)
        if count > (most := len(self._more)):
            raise Unsupported(
                f"Mode 'label' was given {count} candidates, and {self._backend.info.ref} is known to take "
                f"{most} labels as one token. Give {most} at most (if they are retrieved: --retrieve {most})."
            )
        return self._more[:count]

    def _is_one_token(self, label: str) -> bool:
        """After the word that ends a prompt; `choose` checks again after the prompt itself."""
        counts = self._backend.count_tokens
        return counts(f"Answer: {label}") == counts("Answer:") + 1

    def _turned(self, history: History, candidates: Candidates) -> list[list[Item]]:
        """The shuffled candidates, turned on by equal steps, so that each stands in places far apart."""
        first = shuffled(history, candidates, self._seed)
        count = min(self._orders, len(first))
        starts = [i * len(first) // count for i in range(count)]
        return [first[start:] + first[:start] for start in starts]


def _pairs() -> list[str]:
    return ["".join(pair) for pair in product(LABELS, repeat=2)]


def count_shortfalls(choices: Sequence[Choice], events: Counter[str]) -> None:
    """Labels outside the server's top, orders in which labels hold little, an answer without any label."""
    events["label_outside_top"] += sum(len(choice.outside) for choice in choices)
    events["low_label_mass"] += sum(choice.mass < LOW_MASS for choice in choices)
    if all(len(choice.outside) == len(choice.logprobs) for choice in choices):
        events[UNUSABLE] += 1


def _means(orders: Sequence[Sequence[Item]], choices: Sequence[Choice], candidates: Candidates) -> Array:
    """Shape (candidates,), in the candidates' order."""
    totals = {item.item_id: 0.0 for item in candidates}
    for order, choice in zip(orders, choices, strict=True):
        for item, value in zip(order, choice.logprobs, strict=True):
            totals[item.item_id] += value
    return np.array([totals[item.item_id] / len(orders) for item in candidates])
