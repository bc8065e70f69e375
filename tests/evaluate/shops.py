"""A small shop for runs, its plans, and rankers written by hand."""

import numpy as np

from llmrec_prompt import Dataset, Interaction, Item
from llmrec_prompt.data import write_two_file
from llmrec_prompt.evaluate import Plan
from llmrec_prompt.types import Scored

WORDS = ("red", "green", "blue", "old", "new", "big")
THINGS = ("cup", "lamp", "chair", "door", "roof")
FILES = ("report.json", "report.md", "report.html")


def shop(folder, users=12, length=4, start=lambda u: u * u):
    """`users` who walk through 30 items, one after the other: who has been where tells where one goes.

    With a `start` such as `lambda u: 7 * u` every item is equally often the last one.
    """
    items = [Item(item_id=f"i{n}", title=f"{word} {thing}") for n, (word, thing) in enumerate(
        (word, thing) for word in WORDS for thing in THINGS)]  # fmt: skip
    rows = [
        Interaction(f"u{u}", f"i{(start(u) + n) % 30}", None, n) for u in range(users) for n in range(length)
    ]
    write_two_file(Dataset.from_rows(items, rows, name="shop", domain="shopping"), folder)
    return str(folder)


def plan(data, **options):
    """Cheap and without packages that tests of a run do not need."""
    return Plan(**{
        "data": data, "users": 8, "candidates": 6, "model": "fake:overlap", "embedder": "backend",
        "rankers": ("random", "popularity", "likelihood"), **options,
    })  # fmt: skip


class Hand:
    """A ranker that scores by a function of history and candidates, and may refuse."""

    def __init__(self, function, name="hand"):
        self.function, self.name, self.origin = function, name, {}

    def score(self, history, candidates):
        return Scored(
            {self.name: np.asarray(self.function(history, candidates), np.float64)}, {self.name: 1.0}
        )

    def prepare(self, candidates):
        pass
