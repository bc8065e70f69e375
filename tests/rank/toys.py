"""Hand-written rankers, backends and data sets for the tests of the ranking modes."""

import numpy as np

from llmrec_prompt.backends import Usage
from llmrec_prompt.backends.fake import FakeBackend
from llmrec_prompt.data import Cleaning, Dataset
from llmrec_prompt.templates import Domain, Prompter
from llmrec_prompt.types import Interaction, Item, Scored


def prompter(**fields) -> Prompter:
    return Prompter(Domain(**{"name": "shop", "noun": "thing", "nouns": "things", "verb": "saw", **fields}))


def items(names) -> list[Item]:
    return [Item(item_id=name, title=name.upper()) for name in names]


def dataset(names, logs="", *, liked_from=None) -> Dataset:
    """`user item item*` per line of logs; with `liked_from`, an item with a star was rated 5, without 1."""
    rows = []
    for line in logs.strip().splitlines():
        user, *seen = line.split()
        for time, name in enumerate(seen):
            rating = None if liked_from is None else 5.0 if name.endswith("*") else 1.0
            rows.append(Interaction(user, name.rstrip("*"), rating, float(time)))
    cleaning = Cleaning(preference="none" if liked_from is None else liked_from)
    return Dataset.from_rows(items(names), rows, cleaning=cleaning)


class Toy:
    """A ranker whose scores are a function of history and candidate ids."""

    def __init__(self, function, *, name="toy", **scored):
        self.function, self.name, self.scored = function, name, scored
        self.prepared, self.origin = [], {}

    def score(self, history, candidates):
        seen = [item.item_id for item in history]
        values = np.array([self.function(seen, item.item_id) for item in candidates], np.float64)
        return Scored(**{"parts": {self.name: values}, "weights": {self.name: 1.0}, **self.scored})

    def prepare(self, candidates):
        self.prepared.append([item.item_id for item in candidates])


class PaidToy(Toy):
    """A toy that says it evaluates ten tokens a candidate and reuses one."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.usage = Usage(1000, 1000)

    def score(self, history, candidates):
        self.usage.evaluated += 10 * len(candidates)
        self.usage.reused += 1
        return super().score(history, candidates)


def table(values, **more) -> Toy:
    """A toy with fixed scores."""
    return Toy(lambda seen, name: values[name], **more)


class Counted:
    """A fake model and the (prompt, continuation) pairs it was asked for."""

    def __init__(self, function, **options):
        self.asked: list[tuple[str, str]] = []
        self.function = function
        self.backend = FakeBackend(self._score, **options)

    def _score(self, prompt, text):
        self.asked.append((prompt, text))
        return self.function(prompt, text)

    def take(self):
        asked, self.asked = self.asked, []
        return asked
