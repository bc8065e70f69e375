"""An estimate pays for a few dozen items, however long the lists are, and scales what it saw."""

import pytest

from llmrec_prompt import Dataset, Interaction
from llmrec_prompt.backends.base import Usage
from llmrec_prompt.evaluate.estimate import FEW, MANY, PROBED, measure
from llmrec_prompt.evaluate.protocols import Ask, make_exam

from .shops import Hand

HISTORY, LINE = 200, 7
"""Tokens of a history, and of each candidate after it."""


class Counting(Hand):
    """Reads a history, unless the one before was the same and it keeps that, and then a line a candidate."""

    def __init__(self, *, keeps, line=LINE, reads=True):
        super().__init__(lambda history, candidates: range(len(candidates)))
        self.origin = {"model": "counting"} if reads else {}
        self.usage, self.prepared, self.ranked = Usage(), [], []
        self._keeps, self._line, self._last = keeps, line, None

    def prepare(self, candidates):
        self.prepared.append(len(candidates))
        self.usage.evaluated += 3 * len(candidates)

    def score(self, history, candidates):
        self.ranked.append(len(candidates))
        kept = self._keeps and self._last == history
        self.usage.evaluated += (0 if kept else HISTORY) + self._line * len(candidates)
        self._last = history
        return super().score(history, candidates)


@pytest.fixture(scope="module")
def exam():
    items = [{"item_id": f"i{n}", "title": f"Title {n}"} for n in range(500)]
    rows = [Interaction(f"u{u}", f"i{(31 * u + n) % 500}", None, n) for u in range(20) for n in range(5)]
    return make_exam(Dataset.from_rows(items, rows, name="many"), Ask(users=10, negatives="full"))


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("line", [LINE, 0])
def test_few_are_prepared_and_ranked_and_all_are_counted(exam, keeps, line):
    ranker = Counting(keeps=keeps, line=line)
    rate = measure(ranker, exam, 0)
    assert sum(ranker.prepared) <= PROBED * (2 * FEW + MANY)
    assert max(ranker.ranked) == MANY
    assert rate.tokens == pytest.approx(HISTORY + line * 496)
    assert (rate.item_tokens, rate.source) == (3, "3 shortened questions")


def test_a_ranker_without_a_model_is_asked_as_it_will_be(exam):
    ranker = Counting(keeps=False, reads=False)
    measure(ranker, exam, 0)
    assert ranker.ranked == [496] * 3


def test_short_lists_are_asked_whole():
    items = [{"item_id": f"i{n}", "title": f"Title {n}"} for n in range(60)]
    rows = [Interaction(f"u{u}", f"i{(31 * u + n) % 60}", None, n) for u in range(20) for n in range(5)]
    exam = make_exam(Dataset.from_rows(items, rows, name="few"), Ask(users=10, negatives="full"))
    ranker = Counting(keeps=True)
    rate = measure(ranker, exam, 0)
    assert (ranker.ranked, rate.source) == ([56] * 3, "3 questions")
    assert rate.tokens == HISTORY + LINE * 56
