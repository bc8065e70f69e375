"""Ranking by yes or no: one question a candidate, answered by the next token (TALLRec, Bao et al. 2023).

score(item) = log p(Yes) - log p(No). It depends on no other candidate and no order of them.
"""

from collections import Counter

import numpy as np

from llmrec_prompt.adapters import Card
from llmrec_prompt.backends import Backend, Choice, require, shortfall
from llmrec_prompt.errors import BackendError
from llmrec_prompt.rank.asking import AskingRanker
from llmrec_prompt.templates import Prompter
from llmrec_prompt.templates.prompter import ANSWERS
from llmrec_prompt.types import Candidates, History, Scored


class YesNoRanker(AskingRanker):
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
        super().__init__(backend, prompter, card)

    def score(self, history: History, candidates: Candidates) -> Scored:
        """How much likelier Yes is than No, in nats.

        Raises:
            DataError: the history is empty.
            ContextOverflow: not even the latest history item fits.
            BackendError: the server shows neither answer among its likeliest tokens.
        """
        labels = [f" {answer}" for answer in ANSWERS]

        def ask(show: int, _: Counter[str]) -> list[Choice]:
            prompts = [self._prompter.yes_no(history, item, show=show) for item in candidates]
            return self._backend.choose(prompts, labels)

        choices, events, settings = self._asked(history, candidates, ask)
        events["label_outside_top"] += _outside(choices, self._backend.info.ref)
        settings |= {
            "label_mass": round(float(np.mean([choice.mass for choice in choices])), 4),
            **shortfall(self._backend, "choose"),
        }
        values = np.array([choice.logprobs[0] - choice.logprobs[1] for choice in choices])
        return Scored({self.name: values}, {self.name: 1.0}, events=dict(+events), settings=settings)


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
