"""BM25 over item texts: the history's texts are the query."""

import logging

import bm25s
import numpy as np

from llmrec_prompt.data import Dataset
from llmrec_prompt.scorers.base import Scores, recent
from llmrec_prompt.templates import Prompter
from llmrec_prompt.types import History

logging.getLogger("bm25s").setLevel(logging.WARNING)  # it tells of every index it builds

_UNSPACED = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
WORD = rf"(?u)[{_UNSPACED}]|[^\W{_UNSPACED}]+"
"""One-letter words count, and of scripts without spaces every character is a word."""


class Bm25Scorer:
    """Lucene's BM25 (Robertson et al. 1995, as bm25s computes it); mean over the latest history items.

    One query an item, averaged, rather than one long query: a long description would outvote the others.
    """

    name = "bm25"

    def __init__(self, dataset: Dataset, prompter: Prompter, *, recent_items: int = 10) -> None:
        self._prompter, self._recent, self._size = prompter, recent_items, len(dataset.items)
        texts = [prompter.about(item) for item in dataset.items]
        words = self._words(texts)
        self._index = bm25s.BM25() if any(words) else None  # it cannot index a catalogue without any word
        if self._index:
            self._index.index(words, show_progress=False)

    @staticmethod
    def _words(texts: list[str]) -> list[list[str]]:
        words = bm25s.tokenize(
            texts, stopwords=None, token_pattern=WORD, return_ids=False, show_progress=False
        )
        return [list(w) for w in words]

    def score(self, history: History) -> Scores:
        """Mean BM25 of each item under the latest history items' texts; zeros for an empty history."""
        queries = self._words([self._prompter.about(item) for item in recent(history, self._recent)])
        total: Scores = np.zeros(self._size)
        for words in queries:
            if words and self._index:
                total += self._index.get_scores(words)
        return total / max(1, len(queries))

    @property
    def settings(self) -> dict[str, object]:
        """How much of the history it looks at."""
        return {"recent_items": self._recent}
