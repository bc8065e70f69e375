import numpy as np
import pytest

from llmrec_prompt.adapt.histories import Population, Texts, shuffled, windows
from llmrec_prompt.adapt.recipe import Source
from llmrec_prompt.data import leave_last_out
from llmrec_prompt.errors import DataError, TemplateError
from llmrec_prompt.templates import Prompter


def population(data, **changes):
    return Population(Source(**{"data": str(data), "test": 20, "validation": 8, **changes}))


def letters(text, first):
    """A tokenizer of bytes; 256 stands for the model's first token."""
    return [256] * first + list(text.encode())


def text_of(tokens):
    return bytes(t for t in tokens if t < 256).decode()


def made(data, size=4, **changes):
    people = population(data, **changes)
    texts = Texts(people.dataset, people.prompter, letters)
    return people, texts, windows(people, texts, size)


def test_tested_users_are_those_of_the_evaluation_and_apart_from_the_rest(ring):
    people = population(ring)
    tested = {case.user_id for case in leave_last_out(people.dataset, users=20, seed=0).cases}
    groups = [tested, set(people.validation), set(people.users)]
    assert [len(g) for g in groups] == [20, 8, 32]
    assert len(set.union(*groups)) == 60


def test_fewer_users_are_a_part_of_more(ring):
    assert population(ring, users=5).users == population(ring).users[:5]


def test_another_draw_takes_others_and_never_the_tested(ring):
    first, second = (population(ring, users=5, draw=draw) for draw in (0, 1))
    tested = {case.user_id for case in leave_last_out(first.dataset, users=20, seed=0).cases}
    drawn = [{*people.users, *people.validation} for people in (first, second)]
    assert drawn[0] != drawn[1]
    assert all(len(users) == 13 and not users & tested for users in drawn)


def test_others_judge_and_those_who_did_are_known(ring):
    people = Population(Source(data=str(ring), test=20, validation=4, users=6))
    assert set(people.train.users) == set(people.users)  # computed before
    judged = people.judged_by(people.users[:2])
    assert judged.validation == people.users[:2]
    assert set(judged.train.users) == {*people.users, *people.validation}
    assert {case.user_id for case in judged.cases()} == set(people.users[:2])


def test_nobody_left_to_train_on_is_an_error(ring):
    with pytest.raises(DataError, match="none is left"):
        population(ring, test=60)


def test_a_window_is_the_prompt_that_ranks_and_its_targets_follow(ring):
    people, _, found = made(ring)
    items = people.dataset.items
    for window in found:
        prompt = people.prompter.history([items[row] for row in window.rows], show=len(window.rows)).text
        assert text_of(window.tokens) == prompt
        assert [text_of(window.tokens[: end + 1])[-1] for end in window.ends] == ["\n"] * len(window.rows)
        assert window.rows[1:] == window.targets[:-1]


def test_windows_cover_every_target_of_every_user_once(ring):
    people, _, found = made(ring)
    assert sum(len(w.targets) for w in found) == sum(len(people.rows(u)) - 1 for u in people.users)
    assert max(len(w.rows) for w in found) == 4


def test_a_cap_keeps_the_latest_windows(ring):
    people, _, found = made(ring, windows=1, users=3)
    assert [list(w.targets) for w in found] == [people.rows(u)[-4:] for u in people.users]


def test_a_window_knows_what_came_before_it_as_far_as_nearness_reaches(ring):
    people, texts, _ = made(ring, users=1)
    rows = people.rows(people.users[0])
    for reach in (0, 3, 6, 99):
        for window in windows(people, texts, 4, reach):
            place = rows.index(window.rows[0])
            assert rows[: place + len(window.rows)] == [*rows[:place], *window.rows]
            assert list(window.before) == rows[max(0, place + len(window.rows) - reach) : place]


def test_what_a_user_has_is_known_to_every_window(ring):
    people, _, found = made(ring, users=1)
    for window in found:
        assert set(window.own) == set(people.rows(people.users[0]))


def test_shuffled_targets_are_the_same_targets_in_another_order(ring):
    _, _, found = made(ring)
    other = shuffled(found, 0)
    flat = [np.concatenate([w.targets for w in group]) for group in (found, other)]
    assert sorted(flat[0]) == sorted(flat[1])
    assert (flat[0] != flat[1]).mean() > 0.9
    assert [w.tokens for w in found] == [w.tokens for w in other]


def test_a_template_that_is_no_list_cannot_be_trained_densely(ring, tmp_path):
    (tmp_path / "movies").mkdir()
    (tmp_path / "movies/history.j2").write_text(
        "Seen:\n{% for i in history|reverse %}\n{{ i.line }}\n{% endfor %}\n"
    )
    people = population(ring)
    prompter = Prompter(people.domain, catalogue=people.dataset.items, prompts=tmp_path)
    with pytest.raises(TemplateError, match="one line an item"):
        windows(people, Texts(people.dataset, prompter, letters), 4)
