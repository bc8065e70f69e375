import pytest

from llmrec_prompt.backends import Choice
from llmrec_prompt.backends.fake import FakeBackend
from llmrec_prompt.errors import BackendError, ContextOverflow, DataError
from llmrec_prompt.rank import YesNoRanker, combine, rank
from llmrec_prompt.types import Item

from .toys import items, prompter

HISTORY, CANDIDATES = items(["own", "two"]), items("abcd")


def taste(prompt, answer):
    """Yes the likelier, the later in the alphabet."""
    title = prompt.partition('thing "')[2][0]
    return -1.0 + (ord(title) - ord("A")) / 10 if answer == " Yes" else -1.0


def test_score_is_how_much_likelier_yes_is_than_no():
    scored = YesNoRanker(FakeBackend(taste), prompter()).score(HISTORY, CANDIDATES)
    assert combine(scored) == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert rank(YesNoRanker(FakeBackend(taste), prompter()), HISTORY, CANDIDATES).ids == ("d", "c", "b", "a")


def test_a_score_does_not_depend_on_the_other_candidates():
    ranker = YesNoRanker(FakeBackend(taste), prompter())
    alone = combine(ranker.score(HISTORY, CANDIDATES[2:3]))
    assert combine(ranker.score(HISTORY, CANDIDATES))[2] == alone[0]


def test_history_that_does_not_fit_is_dropped_and_counted():
    # "Things that a person saw, in order:" and the question are 20 words, each history item one
    scored = YesNoRanker(Bounded(taste, context=21), prompter()).score(HISTORY, CANDIDATES)
    assert scored.events == {"history_dropped": 1}
    assert scored.settings["history_shown"] == 1


def test_values_that_are_missing_from_a_line_are_counted():
    scored = YesNoRanker(FakeBackend(taste), prompter(item="{{ item.title }}{{ item.price }}")).score(
        HISTORY, CANDIDATES
    )
    assert scored.events == {"field_missing": 6}


class Bounded(FakeBackend):
    def choose(self, prompts, labels):
        longest = max(map(self.count_tokens, prompts))
        if longest > self.info.context:
            raise ContextOverflow(longest, self.info.context)
        return super().choose(prompts, labels)


class Outside(FakeBackend):
    def __init__(self, scorer, outside):
        super().__init__(scorer)
        self.outside = frozenset(outside)

    def choose(self, prompts, labels):
        return [Choice(c.logprobs, c.mass, self.outside) for c in super().choose(prompts, labels)]


def test_one_answer_outside_the_top_is_counted():
    assert YesNoRanker(Outside(taste, [1]), prompter()).score(HISTORY, CANDIDATES).events == {
        "label_outside_top": 4
    }


def test_both_answers_outside_the_top_are_an_error():
    with pytest.raises(BackendError, match="neither Yes nor No among its likeliest tokens for 4 of 4"):
        YesNoRanker(Outside(taste, [0, 1]), prompter()).score(HISTORY, CANDIDATES)


def test_an_empty_history_is_refused():
    with pytest.raises(DataError, match="'yes_no' has nothing to ask"):
        YesNoRanker(FakeBackend(taste), prompter()).score([], CANDIDATES)


def test_cut_titles_are_counted_once_each():
    long = Item(item_id="long", title="word " * 200)
    ranker = YesNoRanker(FakeBackend(lambda prompt, answer: -1.0), prompter())
    assert ranker.score([*HISTORY, long], [*CANDIDATES, long]).events == {"text_cut": 2}
