"""Ranking by an answered list: candidates under numbers, the model writes the numbers in order.

The answer is kept to a JSON schema where the backend can, and read strictly: only whole numbers of
candidates count, each the first time. score(item) = minus its place in the answer. Candidates that the
answer leaves out come after all others; among them the seeded hash decides that orders all ties. Nothing is
asked again, so nothing can be asked until it pleases.
"""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from llmrec_prompt.adapters import Card
from llmrec_prompt.backends import Backend, require, shortfall
from llmrec_prompt.errors import AnswerError
from llmrec_prompt.rank.asking import UNUSABLE, AskingRanker, shuffled
from llmrec_prompt.templates import Prompter
from llmrec_prompt.types import Candidates, History, Scored

KEY = "ranking"
TOKENS_A_NUMBER = 6
"""Digits, comma, blank, with room for an engine that writes a line each."""
TOKENS_AROUND = 64
MOST_VALUES = 1000
"""Of an enum in a strict schema of OpenAI's."""
"""Brackets and key, and a few words of a model that cannot do without."""


class ListedRanker(AskingRanker):
    """Has the model write the order.

    Args:
        backend: must be able to generate; one that keeps to a schema is kept to it.
        prompter: renders the question.
        seed: of the order in which the candidates are shown.
        card: of the adapter in force, if it has one.

    Raises:
        Unsupported: the backend cannot generate.
    """

    name = "listed"
    listwise = True

    def __init__(
        self, backend: Backend, prompter: Prompter, *, seed: int = 0, card: Card | None = None
    ) -> None:
        require(backend, "generate", wanted_by="Mode 'listed'")
        super().__init__(backend, prompter, card)
        self._seed = seed

    def score(self, history: History, candidates: Candidates) -> Scored:
        """Minus the place in the model's list; what it left out has the lowest place of all.

        Raises:
            DataError: the history is empty.
            ContextOverflow: not even the latest history item fits.
        """
        order = shuffled(history, candidates, self._seed)

        def ask(show: int, events: Counter[str]) -> Any:
            return self._ask(self._prompter.listed(history, order, show=show), len(order), events)

        answer, events, settings = self._asked(history, candidates, ask)
        places = read_places(answer, len(order), events)
        by_id = {item.item_id: place for item, place in zip(order, places, strict=True)}
        values = -np.array([by_id[item.item_id] for item in candidates], np.float64)
        settings |= self._degraded()
        return Scored({self.name: values}, {self.name: 1.0}, events=dict(+events), settings=settings)

    def _ask(self, prompt: str, count: int, events: Counter[str]) -> Any:
        """The answer, whatever it is; that it is not as asked is counted (event `answer_…`)."""
        schema = list_schema(count) if "schema" in self._backend.info.can else None
        try:
            return self._backend.generate(
                [{"role": "user", "content": prompt}],
                schema=schema,
                max_tokens=TOKENS_A_NUMBER * count + TOKENS_AROUND,
            )
        except AnswerError as error:
            events[f"answer_{error.kind}"] += 1
            return error.text

    def _degraded(self) -> dict[str, str]:
        if "schema" in self._backend.info.can:
            return shortfall(self._backend, "schema")
        return {"degraded": "the answer is not kept to a schema; it is asked for in words"}


def list_schema(count: int) -> dict[str, Any]:
    """A list of so many of the numbers from 1; that each comes once no schema language can say for all.

    Up to `MOST_VALUES` they are named one by one, which every server understands.
    """
    few = count <= MOST_VALUES
    number = {"type": "integer"} | (
        {"enum": list(range(1, count + 1))} if few else {"minimum": 1, "maximum": count}
    )
    numbers = {"type": "array", "items": number, "minItems": count, "maxItems": count}
    return {
        "type": "object",
        "properties": {KEY: numbers},
        "required": [KEY],
        "additionalProperties": False,
    }


def read_places(answer: Any, count: int, events: Counter[str]) -> list[int]:
    """The place of each number 1..count in an answer, from 1; count + 1 for what is left out.

    Events: `listed_unknown` (entries that are no candidate's number), `listed_duplicate`,
    `listed_missing`; `unusable_answer` where no number can be used.

    >>> read_places({"ranking": [2, 9, 2]}, 2, events := Counter()), sorted(events.items())
    ([2, 1], [('listed_duplicate', 1), ('listed_missing', 1), ('listed_unknown', 1)])
    """
    places: dict[int, int] = {}
    for entry in _entries(answer):
        if type(entry) is not int or not 1 <= entry <= count:
            events["listed_unknown"] += 1
        elif entry in places:
            events["listed_duplicate"] += 1
        else:
            places[entry] = len(places) + 1
    events["listed_missing"] += count - len(places)
    if not places:
        events[UNUSABLE] += 1
    last = len(places) + 1
    return [places.get(number, last) for number in range(1, count + 1)]


def _entries(answer: Any) -> list[Any]:
    """What stands in the list; nothing if there is none. A text may hold one JSON object among words."""
    if isinstance(answer, str):
        begin, end = answer.find("{"), answer.rfind("}")
        try:
            answer = json.loads(answer[begin : end + 1])
        except (ValueError, RecursionError):
            return []
    entries = answer.get(KEY) if isinstance(answer, Mapping) else None
    return entries if isinstance(entries, list) else []
