"""Small data sets and embedders shared by the tests of the scorers."""

import numpy as np

from llmrec_prompt.data import Cleaning, Dataset
from llmrec_prompt.templates import Domain, Prompter
from llmrec_prompt.types import Interaction, Item

PROMPTER = Prompter(Domain(name="shop", noun="thing", nouns="things", verb="saw"))


def dataset(titles: str, logs: str = "") -> Dataset:
    """Items named by their titles, which are separated by commas; `user item item` per line of logs."""
    items = [{"item_id": title.strip(), "title": title.strip()} for title in titles.split(",")]
    lines = [line.split() for line in logs.strip().splitlines()]
    rows = [Interaction(user, item, timestamp=n) for user, *liked in lines for n, item in enumerate(liked)]
    return Dataset.from_rows(items, rows, cleaning=Cleaning(preference="none"))


def item(title: str, item_id: str | None = None) -> Item:
    return Item(item_id=item_id or title, title=title)


class TinyEmbedder:
    """Vectors by the text's first word; counts what it is asked for, and can fail in a batch."""

    def __init__(self, vectors=None, *, name="tiny", fail_in_batch=0):
        self.id = name
        self.vectors, self.fail_in_batch = vectors or {}, fail_in_batch
        self.asked: list[str] = []
        self.batches = 0

    def encode(self, texts):
        self.batches += 1
        if self.batches == self.fail_in_batch:
            raise RuntimeError("out of power")
        self.asked += texts
        return np.array([self._vector(text) for text in texts], np.float32)

    def _vector(self, text):
        word = text.split()[0].rstrip(".")
        return self.vectors[word] if self.vectors else (float(word), 0.0)
