"""What the modes that ask a question share: the model, an order that means nothing, history that fits."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from llmrec_prompt.adapters import Card
from llmrec_prompt.backends import Backend, Usage
from llmrec_prompt.errors import ContextOverflow, DataError
from llmrec_prompt.rank.order import tie_salt
from llmrec_prompt.rank.origin import model_origin
from llmrec_prompt.templates import Prompter
from llmrec_prompt.types import Candidates, History, Item

T = TypeVar("T")
UNUSABLE = "unusable_answer"
"""Event: the model said nothing about any candidate, so that all are tied and their order is chance."""


class AskingRanker:
    """The parts of a `Ranker` that are the same whatever is asked.

    Args:
        backend: the model.
        prompter: renders the question.
        card: of the adapter in force, if it has one.
    """

    name: str

    def __init__(self, backend: Backend, prompter: Prompter, card: Card | None) -> None:
        self._backend, self._prompter, self._card = backend, prompter, card

    def prepare(self, candidates: Candidates) -> None:
        """Nothing to do ahead."""

    @property
    def usage(self) -> Usage:
        """The backend's token counts."""
        return self._backend.usage

    @property
    def origin(self) -> Mapping[str, Any]:
        """The model, its adapter, the template."""
        return model_origin(self._backend, self._prompter, self._card, self.name)


def shuffled(history: History, candidates: Candidates, seed: int) -> list[Item]:
    """The candidates in an order that depends on history and seed, never on the order they came in."""
    salt = f"shown\0{tie_salt(history, seed)}"
    return sorted(candidates, key=lambda c: hashlib.sha256(f"{salt}\0{c.item_id}".encode()).digest())


def require_history(history: History, mode: str) -> None:
    """Refuse an empty history.

    Raises:
        DataError: it is empty.
    """
    if not history:
        raise DataError(f"The history is empty, so mode {mode!r} has nothing to ask. Give at least one item.")


def history_shown(history: History, prompter: Prompter, card: Card | None, mode: str) -> int:
    """How many of the latest items a question shows: as many as in training, else the domain's number."""
    limit = card.history if card and card.mode == mode else prompter.domain.history
    return min(len(history), limit)


def within_context(ask: Callable[[int], T], show: int, events: Counter[str]) -> tuple[T, int]:
    """Ask with as much of the history as fits; what had to go is counted as event `history_dropped`.

    Args:
        ask: takes how many of the latest items to show.
        show: how many at most.
        events: where drops are counted.

    Returns:
        The answer, and how many items were shown.

    Raises:
        ContextOverflow: it does not fit with the latest item alone.
    """
    while True:
        try:
            return ask(show), show
        except ContextOverflow:
            if show <= 1:
                raise
            show -= 1
            events["history_dropped"] += 1
