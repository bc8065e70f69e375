"""Validation with states that are drawn by text: what it measures, not how well anything does."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from llmrec_prompt.adapt.encode import Encode  # noqa: E402
from llmrec_prompt.adapt.histories import Population, Texts  # noqa: E402
from llmrec_prompt.adapt.recipe import Source  # noqa: E402
from llmrec_prompt.adapt.validation import FOCI, KINDS, Validation, by_user, quality, reported, summary  # noqa: E402
from llmrec_prompt.rank.encoder import ELSEWHERE_NEAR  # noqa: E402


class Drawn:
    """Stands for a network: a text's state is drawn by its tokens."""

    device = torch.device("cpu")

    def ends(self, sequences):
        return torch.tensor(np.stack([np.random.default_rng(list(s)).normal(size=8) for s in sequences]))


@pytest.fixture
def exam(ring):
    people = Population(Source(data=str(ring), test=20, validation=12))
    texts = Texts(people.dataset, people.prompter, lambda text, first: [256] * first + list(text.encode()))

    def make(**depth):
        return Validation(people, texts, source=0, **depth)

    return make, Encode(Drawn(), [(people, texts)])


def test_a_focus_is_worth_what_the_curves_say_with_it(exam):
    make, encode = exam
    encode.start_from(3.0, 5.0, 4.0)
    given = make(shown=2, reach=5)
    states = given.catalogue(encode)
    worth = given.by_focus(Drawn(), encode, states)
    assert list(worth) == list(FOCI)
    for factor in FOCI:
        encode.start_from(None, None, 4.0 * factor)
        found = given.curves(Drawn(), encode, states)
        assert summary(found) == pytest.approx(summary(worth[factor]))
    assert len({summary(curves)["ndcg@10"] for curves in worth.values()}) > 1


def test_centred_curves_are_those_of_the_mode_where_nobody_was_trained(exam):
    make, encode = exam
    given = make(shown=2, reach=5)
    states = given.catalogue(encode).astype(np.float64)
    rest = states - states.mean(axis=0)  # fewer items than a centre is made of
    rest /= np.linalg.norm(rest, axis=1, keepdims=True)
    found = []
    for task in given.tasks["popular"]:
        cosines = rest[list(task.history[-2:])] @ rest[list(task.candidates)].T
        found.append(quality(np.log(np.exp(ELSEWHERE_NEAR * cosines).mean(axis=0)), task))
    assert given.centred(states)["popular"][0.0] == pytest.approx(found)
    assert set(given.centred(states)) == {"uniform", "popular", "catalogue"}


def test_more_questions_are_earlier_items_and_later_ones_are_never_wrong(ring):
    people = Population(Source(data=str(ring), test=20, validation=12))
    ids = [i.item_id for i in people.dataset.history(people.validation[0])]
    found = [case for case in people.cases(3) if case.user_id == people.validation[0]]
    assert [(c.history, c.target, c.also) for c in found] == [
        (tuple(ids[:-n]), ids[-n], tuple(ids[len(ids) - n + 1 :])) for n in (1, 2, 3)
    ]
    assert len(people.cases(10**6)) == sum(len(people.rows(u)) - 1 for u in people.validation)
    texts = Texts(people.dataset, people.prompter, lambda text, first: list(text.encode()))
    many = Validation(people, texts, source=0, shown=3, questions=3)
    index = people.dataset.index
    for case, task in zip(people.cases(3), many.tasks["popular"], strict=True):
        assert not {index[i] for i in case.also} & set(task.candidates)


def test_nearness_reaches_as_far_as_it_is_told_and_never_less_than_is_shown(exam):
    make, encode = exam
    shown, less, more = (
        make(**depth).curves(Drawn(), encode)
        for depth in ({"shown": 3}, {"shown": 3, "reach": 1}, {"shown": 3, "reach": 6})
    )
    np.testing.assert_equal(less, shown)
    assert not np.array_equal(more["uniform"][0.0], shown["uniform"][0.0])


def test_the_whole_catalogue_is_ranked_where_that_is_asked(exam):
    make, encode = exam
    given = make(shown=3)
    few, whole = (given.curves(Drawn(), encode, states) for states in (None, given.catalogue(encode)))
    assert set(whole) == {"uniform", "popular", "catalogue"}
    np.testing.assert_equal(few, {kind: whole[kind] for kind in ("uniform", "popular")})


def test_a_card_states_means_and_how_far_the_draw_of_users_moves_them(exam):
    make, encode = exam
    given = make(shown=3)
    one, other = given.curves(Drawn(), encode), {kind: {0.0: np.ones(12)} for kind in KINDS}
    card = reported([given], [one])
    assert set(card) == {"validation", "interval"}
    for name, (low, high) in card["interval"][given.name].items():
        assert low < card["validation"][name] < high
        assert high - low == pytest.approx(4 * by_user(one)[name].std() / np.sqrt(12), rel=0.25)
    elsewhere = make(shown=3)
    elsewhere.name = "elsewhere"
    both = reported([given, elsewhere], [one, other])
    assert both["by source"] == {
        given.name: card["validation"],
        "elsewhere": dict.fromkeys(card["validation"], 1.0),
    }
    assert both["interval"]["elsewhere"]["ndcg@10"] == [1.0, 1.0]
    for name, mean in both["validation"].items():
        assert mean == pytest.approx((card["validation"][name] + 1) / 2, abs=1e-4)
    assert reported([], []) == {}
