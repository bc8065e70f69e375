import pytest

torch = pytest.importorskip("torch", reason="training is NOT TESTED: the extra [hf] is not installed")
pytest.importorskip("peft", reason="training is NOT TESTED: the extra [hf] is not installed")

from llmrec_prompt.adapt.histories import Population, Texts, positions  # noqa: E402
from llmrec_prompt.adapt.questions import Draw  # noqa: E402
from llmrec_prompt.adapt.recipe import Source  # noqa: E402
from llmrec_prompt.errors import DataError  # noqa: E402


@pytest.fixture
def people(ring):
    return Population(Source(data=str(ring), test=20, validation=8))


def asked(people, size=3):
    return positions(
        people, Texts(people.dataset, people.prompter, lambda text, _: list(text.encode())), size
    )


def test_every_item_but_a_users_first_is_asked_about_once(people):
    found = asked(people)
    rows = [people.rows(user) for user in people.users]
    assert [w.targets for w in found] == [(item,) for own in rows for item in own[1:]]
    assert [w.rows for w in found] == [
        tuple(own[max(0, end - 3) : end]) for own in rows for end in range(1, len(own))
    ]


def test_a_cap_asks_about_the_latest_items(ring):
    people = Population(Source(data=str(ring), test=20, validation=8, windows=1, users=2))
    found = asked(people)
    assert [w.targets[0] for w in found] == [row for u in people.users for row in people.rows(u)[-3:]]


def test_the_answer_is_the_target_and_no_negative_is_the_users(people):
    draw, places = Draw(people, 8, seed=0), set()
    for i, window in enumerate(asked(people)):
        question = draw(window, (0, i))
        assert question.candidates[question.answer] == window.targets[0]
        assert not {*question.candidates} & {*window.own} - {*window.targets}
        assert len(set(question.candidates)) == 8
        places.add(question.answer)
    assert places == set(range(8))


def test_the_same_seed_and_step_ask_the_same(people):
    window = asked(people)[0]
    draw = Draw(people, 8, seed=0)
    assert draw(window, (3, 1)) == Draw(people, 8, seed=0)(window, (3, 1))
    assert draw(window, (3, 1)) != draw(window, (4, 1))


def test_popular_items_are_drawn_more_often(people):
    import numpy as np

    window, draw = asked(people)[0], Draw(people, 4, seed=0)
    drawn = [row for step in range(400) for row in draw(window, (step,)).candidates]
    counts = np.bincount(drawn, minlength=36).astype(float)
    fair = np.setdiff1d(np.arange(36), window.own)
    popularity = people.train.popularity()[fair]
    assert np.corrcoef(counts[fair], popularity)[0, 1] > 0.6


def test_too_small_a_catalogue_is_an_error(people):
    with pytest.raises(DataError, match="Lower `candidates`"):
        Draw(people, 40, seed=0)(asked(people)[0], (0,))
