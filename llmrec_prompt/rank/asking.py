"""What the modes that put a question about candidates share, and an order that means nothing."""

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from llmrec_prompt.errors import DataError
from llmrec_prompt.rank.learnt import foreign_domain
from llmrec_prompt.rank.model import ModelRanker, within_context
from llmrec_prompt.rank.order import salted, tie_salt
from llmrec_prompt.types import Candidates, History, Item

T = TypeVar("T")
UNUSABLE = "unusable_answer"
"""Event: the model said nothing about any candidate, so that all are tied and their order is chance."""


class AskingRanker(ModelRanker):
    """Asks with as much of the history as fits, and says what was shown."""

    def prepare(self, candidates: Candidates) -> None:
        """Nothing to do ahead."""

    def _asked(
        self, history: History, candidates: Candidates, ask: Callable[[int, Counter[str]], T]
    ) -> tuple[T, Counter[str], dict[str, Any]]:
        """The answer, events and settings.

        Args:
            history: oldest first.
            candidates: what the question is about.
            ask: takes how many of the latest history items to show, and where events are counted.

        Raises:
            DataError: the history is empty.
            ContextOverflow: not even the latest history item fits.
        """
        if not history:
            raise DataError(
                f"The history is empty, so mode {self.name!r} has nothing to ask. Give at least one item."
            )
        events = Counter(foreign_domain(self._card, self._prompter))
        answer, shown = within_context(lambda show: ask(show, events), self._most_shown(history), events)
        events.update(self._prompter.events_of([*history[-shown:], *candidates]))
        return answer, events, {"history_shown": shown, "history_total": len(history)}

    def _most_shown(self, history: History) -> int:
        """How many of the latest items a question shows: as many as in training, else the domain's number."""
        card, usual = self._card, self._prompter.domain.history
        return min(len(history), card.history if card and card.mode == self.name else usual)


def shuffled(history: History, candidates: Candidates, seed: int) -> list[Item]:
    """The candidates in an order that depends on history and seed, never on the order they came in."""
    salt = f"shown\0{tie_salt(history, seed)}"
    return sorted(candidates, key=lambda item: salted(salt, item))
