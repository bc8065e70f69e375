import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec_prompt.data import Dataset
from llmrec_prompt.data.readers import RawData
from llmrec_prompt.evaluate.exam import Ragged, Unseen, file_digest, write_candidates
from llmrec_prompt.evaluate.protocols import Ask, make_exam
from llmrec_prompt.evaluate.run import RunDirectory, read_lines
from llmrec_prompt.evaluate.sample import write_asked
from llmrec_prompt.types import Interaction

USERS, LIKES, ITEMS = 20_000, 6, 200
PER_USER = 1_000
"""Bytes of a user at the peak of making an exam, its logs included."""
KEPT = 300
"""Bytes of a user in an exam that is made; the candidates of a `Question` alone are 195 places of 8 bytes."""


def many(users=USERS):
    rows = np.arange(users * LIKES)
    raw = RawData(
        name="many",
        items=[{"item_id": f"i{n}", "title": f"Title {n}"} for n in range(ITEMS)],
        users=[f"u{n // LIKES}" for n in rows],
        item_ids=[f"i{(n * 7 + n // LIKES) % ITEMS}" for n in rows],
        ratings=[None] * len(rows),
        timestamps=[None] * len(rows),
    )
    return Dataset.from_raw(raw)


def test_an_exam_of_many_users_is_held_as_numbers():
    data = many()
    data.popularity()
    tracemalloc.start()
    exam = make_exam(data, Ask("leave-last-out", None, negatives="full"))
    kept, peak = tracemalloc.get_traced_memory()
    assert len(exam.questions) == USERS
    train = sum(column.nbytes for rows in (exam.train._known, exam.train._liked) for column in _columns(rows))
    assert kept - train < KEPT * USERS
    assert peak < PER_USER * USERS
    tracemalloc.reset_peak()
    seen = sum(len(question.candidates) for question in exam.questions)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen == USERS * (ITEMS - LIKES + 1)
    # Going through all of them holds one at a time: nothing that grows with the users.
    assert peak - kept < 200_000


def _columns(rows):
    return rows.users, rows.items, rows.ratings, rows.times


@given(st.lists(st.lists(st.integers(0, 30), max_size=5), max_size=8))
def test_ragged_gives_back_every_list(lists):
    ragged = Ragged(iter(lists))
    assert len(ragged) == len(lists)
    assert [ragged[place].tolist() for place in range(len(lists))] == lists


def test_unseen_is_the_rest():
    assert Unseen(5, Ragged([[1, 3], []]))[0].tolist() == [0, 2, 4]
    assert Unseen(5, Ragged([[1, 3], []]))[1].tolist() == [0, 1, 2, 3, 4]


@pytest.fixture(scope="module")
def exam():
    return make_exam(many(40), Ask("leave-last-out", 30, 8, "uniform", 1))


def test_questions_are_a_sequence(exam):
    questions = exam.questions
    assert len(questions) == len(list(questions)) == len(questions.users) == 30
    assert questions[0] == next(iter(questions))
    assert questions[-1] == questions[29]
    assert questions[2:5] == (questions[2], questions[3], questions[4])
    assert tuple(q.user for q in questions) == questions.users
    with pytest.raises(IndexError):
        questions[30]


def test_answers_are_kept_apart(exam):
    assert [*exam.targets] == [*exam.questions.users]
    assert len(exam.targets) == 30
    assert not hasattr(exam.questions[0], "target")
    with pytest.raises(KeyError):
        exam.targets["nobody"]


def test_candidate_items_are_those_of_all_questions(exam):
    found = {item.item_id for question in exam.questions for item in question.candidates}
    assert {item.item_id for item in exam.questions.candidate_items()} == found


def test_candidates_are_written_read_and_ranked_again(exam, tmp_path):
    digest = write_candidates(exam.questions, tmp_path / "run" / "candidates.tsv")
    path = tmp_path / "run" / "candidates.tsv"
    assert digest == file_digest(path)
    assert [p.name for p in path.parent.iterdir()] == ["candidates.tsv"]
    again = make_exam(many(40), Ask("leave-last-out", 30, negatives=str(path), seed=1))
    assert again.fingerprint == exam.fingerprint
    other = make_exam(many(40), Ask("leave-last-out", 30, 8, "uniform", 2))
    assert write_candidates(other.questions, path) != digest


def test_ids_with_blanks_and_braces_are_read_again(tmp_path):
    items = [
        {"item_id": f"an\tid {n}\u2028" if n % 2 else f"{{{n}", "title": f"Title {n}"} for n in range(20)
    ]
    users = ("plain", "{u1}", " padded ", "a\tb", "two words", "{")
    rows = [
        Interaction(user, items[(3 * u + n) % 20]["item_id"], None, n)
        for u, user in enumerate(users)
        for n in range(4)
    ]
    data = Dataset.from_rows(items, rows, name="odd")
    exam = make_exam(data, Ask(users=None, candidates=6))
    assert write_candidates(exam.questions, tmp_path / "c.tsv") == file_digest(tmp_path / "c.tsv")
    again = make_exam(data, Ask(users=None, negatives=str(tmp_path / "c.tsv")))
    assert len(again.questions) == len(exam.questions) >= 5
    assert again.fingerprint == exam.fingerprint


def test_of_the_whole_catalogue_what_is_left_out_is_written(tmp_path):
    full = make_exam(many(40), Ask(users=30, negatives="full"))
    write_asked(RunDirectory(tmp_path), full, None)
    assert not (tmp_path / "candidates.tsv").exists()
    catalogue = {line["item_id"] for line in read_lines(tmp_path / "items.jsonl")}
    left_out = dict(line.split("\t") for line in (tmp_path / "left_out.tsv").read_text().splitlines())
    assert list(left_out) == list(full.questions.users)
    for question in full.questions:
        asked = {item.item_id for item in question.candidates}
        assert asked == catalogue - {*left_out[question.user].split()}
    drawn = make_exam(many(40), Ask(users=30))
    write_asked(RunDirectory(tmp_path / "drawn"), drawn, None)
    assert file_digest(tmp_path / "drawn" / "candidates.tsv")
