"""Validation with states that are drawn by text: what it measures, not how well anything does."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from llmrec_prompt.adapt.encode import Encode  # noqa: E402
from llmrec_prompt.adapt.histories import Population, Texts  # noqa: E402
from llmrec_prompt.adapt.recipe import Source  # noqa: E402
from llmrec_prompt.adapt.validation import FOCI, Validation, summary  # noqa: E402


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
    worth = given.foci(Drawn(), encode)
    assert list(worth) == list(FOCI)
    for factor in FOCI:
        encode.start_from(None, None, 4.0 * factor)
        assert summary(given.curves(Drawn(), encode))["ndcg@10"] == pytest.approx(worth[factor])
    assert len(set(worth.values())) > 1


def test_nearness_reaches_as_far_as_it_is_told_and_never_less_than_is_shown(exam):
    make, encode = exam
    found = [
        make(**depth).curves(Drawn(), encode)
        for depth in ({"shown": 3}, {"shown": 3, "reach": 1}, {"shown": 3, "reach": 6})
    ]
    assert found[0] == found[1] != found[2]


def test_the_whole_catalogue_is_ranked_where_that_is_asked(exam):
    make, encode = exam
    assert set(make(shown=3).curves(Drawn(), encode)) == {"uniform", "popular"}
    assert set(make(shown=3).curves(Drawn(), encode, catalogue=True)) == {"uniform", "popular", "catalogue"}
