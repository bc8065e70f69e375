"""What the modes that ask a language model share: the model, its origin, history that fits."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from llmrec_prompt.adapters import Card
from llmrec_prompt.backends import Backend, Usage
from llmrec_prompt.errors import ContextOverflow
from llmrec_prompt.templates import Prompter

T = TypeVar("T")


class ModelRanker:
    """The parts of a `Ranker` that are the same whatever the model is asked.

    Args:
        backend: the model.
        prompter: renders what it reads.
        card: of the adapter in force, if it has one.
    """

    name: str

    def __init__(self, backend: Backend, prompter: Prompter, card: Card | None) -> None:
        self._backend, self._prompter, self._card = backend, prompter, card

    @property
    def usage(self) -> Usage:
        """The backend's token counts."""
        return self._backend.usage

    @property
    def origin(self) -> Mapping[str, Any]:
        """The fields of a `Provenance`; an adapter is called by its card's name, else by its path."""
        backend, card = self._backend, self._card
        return {
            "model": backend.info.ref,
            "model_hash": backend.info.hash,
            "adapter": card.name if card else backend.adapter or "",
            "adapter_hash": backend.adapter_hash,
            "template_fingerprint": self._prompter.fingerprint_for(self.name),
        }


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
