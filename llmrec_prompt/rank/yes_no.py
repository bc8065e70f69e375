"""Ranking by yes or no: one question a candidate, answered by the next token (TALLRec, Bao et al. 2023).

score(item) = log p(Yes) - log p(No). It depends on no other candidate and no order of them.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from llmrec_prompt.adapters import Card
from llmrec_prompt.backends import Backend, Choice, Usage, require, shortfall
from llmrec_prompt.errors import BackendError
from llmrec_prompt.rank.asking import history_shown, require_history, within_context
from llmrec_prompt.rank.origin import foreign_domain, model_origin
from llmrec_prompt.templates import Prompter
from llmrec_prompt.templates.prompter import ANSWERS
from llmrec_prompt.types import Candidates, History, Scored


class YesNoRanker:
    """Asks about each candidate alone.

    Args:
        backend: must be able to choose.
        prompter: renders the questions.
        card: of the adapter in force, if it has one.

    Raises:
        Unsupported: the backend cannot choose.
    """

    name = "yes_no"

    def __init__(self, backend: Backend, prompter: Prompter, *, card: Card | None = None) -> None:
        require(backend, "choose", wanted_by="Mode 'yes_no'")
        self._backend, self._prompter, self._card = backend, prompter, card

    def score(self, history: History, candidates: Candidates) -> Scored:
        """How much likelier Yes is than No, in nats.

        Raises:
            DataError: the history is empty.
            ContextOverflow: not even the latest history item fits.
            BackendError: the server shows neither answer among its likeliest tokens.
        """
        require_history(history, self.name)
        events = Counter(foreign_domain(self._card, self._prompter))
        show = history_shown(history, self._prompter, self._card, self.name)
        labels = [f" {answer}" for answer in ANSWERS]

        def ask(show: int) -> list[Choice]:
            prompts = [self._prompter.yes_no(history, item, show=show) for item in candidates]
            return self._backend.choose(prompts, labels)

        choices, shown = within_context(ask, show, events)
        events["label_outside_top"] += _outside(choices, self._backend.info.ref)
        settings = {
            "history_shown": shown,
            "history_total": len(history),
            "label_mass": round(float(np.mean([choice.mass for choice in choices])), 4),
            **shortfall(self._backend, "choose"),
        }
        values = np.array([choice.logprobs[0] - choice.logprobs[1] for choice in choices])
        return Scored({self.name: values}, {self.name: 1.0}, events=dict(+events), settings=settings)

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


def _outside(choices: list[Choice], ref: str) -> int:
    """How many answers are bounds.

    Raises:
        BackendError: of some question both are, which says nothing.
    """
    unknown = sum(len(choice.outside) == len(ANSWERS) for choice in choices)
    if unknown:
        raise BackendError(
            f"{ref} shows neither {' nor '.join(ANSWERS)} among its likeliest tokens for {unknown} of "
            f"{len(choices)} candidates. Use mode label or listed, or another model."
        )
    return sum(len(choice.outside) for choice in choices)
