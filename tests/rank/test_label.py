import numpy as np
import pytest

from llmrec_prompt.backends import Choice
from llmrec_prompt.backends.fake import FakeBackend
from llmrec_prompt.errors import DataError, Unsupported
from llmrec_prompt.rank import LabelRanker, combine, rank
from llmrec_prompt.rank.label import LOW_MASS
from llmrec_prompt.types import Item

from .toys import card, items, prompter

HISTORY, CANDIDATES = items(["own", "two"]), items("abcdefgh")


def shown_under(prompt, label):
    """The title that stands under a label."""
    return prompt.rpartition(f"\n{label.strip()}. ")[2].partition("\n")[0]


def taste(prompt, label):
    """Likes titles late in the alphabet, whatever the label."""
    return -30.0 + ord(shown_under(prompt, label)) / 10


def first_place(prompt, label):
    """Likes label A, whatever stands under it."""
    return -1.0 if label == " A" else -4.0


class Shortsighted(FakeBackend):
    """Shows the likeliest tokens only, as a server does."""

    def __init__(self, scorer, top):
        super().__init__(scorer)
        self.top = top

    def choose(self, prompts, labels):
        return [self._cut(choice) for choice in super().choose(prompts, labels)]

    def _cut(self, choice):
        best_first = np.argsort(-np.array(choice.logprobs))
        outside = frozenset(int(place) for place in best_first[self.top :])
        mass = sum(np.exp(choice.logprobs[i]) for i in range(len(choice.logprobs)) if i not in outside)
        return Choice(choice.logprobs, float(mass), outside)


def test_the_label_of_what_the_model_likes_wins_wherever_it_stands():
    ranking = rank(LabelRanker(FakeBackend(taste), prompter()), HISTORY, CANDIDATES)
    assert "".join(ranking.ids) == "hgfedcba"


@pytest.mark.parametrize("seed", range(5))
def test_the_input_order_says_nothing(seed):
    ranker = LabelRanker(FakeBackend(first_place), prompter(), seed=seed)
    there = dict(zip("abcdefgh", combine(ranker.score(HISTORY, CANDIDATES)), strict=True))
    back = dict(zip("hgfedcba", combine(ranker.score(HISTORY, CANDIDATES[::-1])), strict=True))
    assert there == back


def test_orders_take_a_love_of_places_apart_from_taste():
    biased = lambda prompt, label: first_place(prompt, label) + taste(prompt, label)  # noqa: E731
    one = rank(LabelRanker(FakeBackend(biased), prompter(), orders=1), HISTORY, CANDIDATES)
    all_places = rank(LabelRanker(FakeBackend(biased), prompter(), orders=8), HISTORY, CANDIDATES)
    assert "".join(one.ids) != "hgfedcba"
    assert "".join(all_places.ids) == "hgfedcba"


def test_each_order_is_asked_once():
    backend = FakeBackend(taste)
    asked = []
    choose = backend.choose
    backend.choose = lambda prompts, labels: (asked.extend(prompts), choose(prompts, labels))[1]
    scored = LabelRanker(backend, prompter(), orders=4).score(HISTORY, CANDIDATES)
    assert len(set(asked)) == scored.settings["orders"] == 4
    assert {shown_under(prompt, "A") for prompt in asked} == {shown_under(p, "A") for p in set(asked)}
    assert len({shown_under(prompt, "A") for prompt in asked}) == 4


def test_two_candidates_have_two_orders():
    assert LabelRanker(FakeBackend(taste), prompter()).score(HISTORY, items("ab")).settings["orders"] == 2


def test_low_mass_is_told_and_counted():
    scored = LabelRanker(FakeBackend(taste), prompter()).score(HISTORY, CANDIDATES)
    assert scored.settings["label_mass"] < LOW_MASS
    assert scored.events == {"low_label_mass": 4}


def test_a_label_outside_the_top_is_a_counted_bound():
    scored = LabelRanker(Shortsighted(taste, top=6), prompter()).score(HISTORY, CANDIDATES)
    assert scored.events["label_outside_top"] == 2 * 4
    assert np.isfinite(combine(scored)).all()
    assert "unusable_answer" not in scored.events


def test_no_label_at_all_is_an_unusable_answer():
    scored = LabelRanker(Shortsighted(lambda p, t: -9.0, top=0), prompter()).score(HISTORY, CANDIDATES)
    assert scored.events["unusable_answer"] == 1
    ranking = rank(LabelRanker(Shortsighted(lambda p, t: -9.0, top=0), prompter()), HISTORY, CANDIDATES)
    assert ranking.provenance.events["all_tied"] == 1


def test_more_than_26_candidates_get_pairs_of_letters_that_are_one_token():
    names = [f"t{i:02}" for i in range(40)]
    scored = LabelRanker(FakeBackend(lambda p, t: -float(len(t))), prompter()).score(HISTORY, items(names))
    assert len(combine(scored)) == 40


def test_more_candidates_than_labels_are_refused():
    class Letters(FakeBackend):
        def count_tokens(self, text):
            return len(text)

    with pytest.raises(Unsupported, match=r"40 candidates.*26 labels as one token.*--retrieve 26"):
        LabelRanker(Letters(taste), prompter()).score(HISTORY, items([f"t{i}" for i in range(40)]))


def test_an_empty_history_is_refused():
    with pytest.raises(DataError, match="'label' has nothing to ask"):
        LabelRanker(FakeBackend(taste), prompter()).score([], CANDIDATES)


def test_an_adapter_of_this_mode_says_how_much_history_is_shown():
    trained = card(mode="label", history=1, scale=None)
    scored = LabelRanker(FakeBackend(taste), prompter(), card=trained).score(HISTORY, CANDIDATES)
    assert scored.settings["history_shown"] == 1
    assert LabelRanker(FakeBackend(taste), prompter()).score(HISTORY, CANDIDATES).settings[
        "history_shown"
    ] == len(HISTORY)


def test_its_template_is_its_own():
    words = prompter()
    origin = LabelRanker(FakeBackend(taste), words).origin
    assert origin["template_fingerprint"] == words.fingerprint_for("label") != words.fingerprint


def test_cut_titles_are_counted_once_each():
    long = Item(item_id="long", title="word " * 200)
    ranker = LabelRanker(FakeBackend(first_place), prompter())
    assert ranker.score([*HISTORY, long], [*CANDIDATES, long]).events["text_cut"] == 2
    assert "text_cut" not in ranker.score(HISTORY, CANDIDATES).events
