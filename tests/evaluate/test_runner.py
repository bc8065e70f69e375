import json
import multiprocessing
import os
import resource
import signal
from dataclasses import fields, replace
from random import Random

import numpy as np
import pytest
from scipy.stats import binom

from llmrec_prompt import Dataset
from llmrec_prompt.errors import ConfigError, DataError
from llmrec_prompt.evaluate import Ask, Question, RunDirectory, make_exam, report, run_exam
from llmrec_prompt.evaluate.run import append_line, claim, manifest_name, read_lines
from llmrec_prompt.rank import ScorerRanker
from llmrec_prompt.scorers.cooccurrence import CooccurrenceScorer

from .shops import Hand, shop


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return Dataset.load(shop(tmp_path_factory.mktemp("shop"), users=60, length=5))


def start(folder, names, exam):
    manifest = {
        "data": "shop", "negatives": "uniform", "protocol": "leave-last-out", "candidates": 10, "seed": 0,
        "model": "", "rankers": names, "exam": exam.fingerprint,
    }  # fmt: skip
    return RunDirectory.start(folder, manifest, resume=False)


def run(exam, rankers, folder):
    started = start(folder, list(rankers), exam)
    run_exam(exam, rankers, started, seed=0)
    return started


def exam_of(dataset, **options):
    return make_exam(dataset, Ask(**{"users": None, "candidates": 10, **options}))


def test_a_question_has_no_place_for_a_target(dataset):
    assert [field.name for field in fields(Question)] == ["user", "history", "candidates"]
    exam = exam_of(dataset)
    for question in exam.questions:
        assert not hasattr(question, "__dict__")
        assert not exam.targets[question.user] & {item.item_id for item in question.history}
        assert not exam.targets[question.user] & exam.train.consumed(question.user)


def within_chance(hits, users, candidates):
    """Whether a number of first places is what guessing gives, but for one in 10,000 times."""
    low, high = binom.interval(0.9999, users, 1 / candidates)
    return low <= hits <= high


def first_places(exam, ranker, folder):
    return sum(row["target_rank"] == 1 for row in run(exam, {"it": ranker}, folder).rows())


def test_shuffled_labels_give_chance(dataset, tmp_path):
    """What is learnt from the logs says nothing about targets that were dealt out again."""
    exam = exam_of(dataset)
    ranker = ScorerRanker(CooccurrenceScorer(exam.train), exam.train)
    true = first_places(exam, ranker, tmp_path / "true")
    draw = Random(3)
    dealt = {q.user: frozenset([draw.choice(q.candidates).item_id]) for q in exam.questions}
    shuffled = first_places(replace(exam, targets=dealt), ranker, tmp_path / "shuffled")
    assert not within_chance(true, 60, 10)
    assert within_chance(shuffled, 60, 10)


PEEKS = {
    "the first": lambda history, candidates: -np.arange(len(candidates)),
    "the last": lambda history, candidates: np.arange(len(candidates)),
    "the middle": lambda history, candidates: -np.abs(np.arange(len(candidates)) - len(candidates) / 2),
    "another object": lambda history, candidates: [id(item) for item in candidates],
    "another shape": lambda history, candidates: [len(vars(item)) for item in candidates],
    "the id": lambda history, candidates: [int(item.item_id[1:]) for item in candidates],
}


@pytest.fixture(scope="module")
def even(tmp_path_factory):
    """Every item is a target twice: else a fixed order does not hit as guessing does."""
    folder = shop(tmp_path_factory.mktemp("even"), users=60, length=5, start=lambda u: 7 * u)
    return Dataset.load(folder)


@pytest.mark.parametrize("peek", PEEKS)
def test_who_peeks_sees_nothing(even, tmp_path, peek):
    exam = exam_of(even)
    assert within_chance(first_places(exam, Hand(PEEKS[peek]), tmp_path / "run"), 60, 10)


def test_a_target_is_the_same_object_as_anywhere_else(even):
    own = {item.item_id: item for item in even.items}
    for question in exam_of(even).questions:
        assert all(item is own[item.item_id] for item in question.candidates)


def picky(history, candidates):
    if len(history) < 3:
        raise DataError("Too little is known.")
    return np.arange(len(candidates))


def test_a_refusal_is_counted_and_nobody_else_suffers(dataset, tmp_path):
    exam = exam_of(dataset)
    short = {q.user for q in exam.questions[:7]}

    def some(history, candidates):
        return picky(history if seen.pop(0) not in short else (), candidates)

    seen = [q.user for q in exam.questions]
    done = run(exam, {"picky": Hand(some), "plain": Hand(PEEKS["the id"])}, tmp_path / "run")
    rows = [row for row in done.rows() if row["ranker"] == "picky"]
    assert [row["events"] for row in rows[:7]] == [{"refused": 1}] * 7
    assert rows[0]["why"] == "Too little is known."
    assert not {"ids", "metrics", "target_rank"} & set(rows[0])
    found = report(done)
    assert found.more["answered"] == {"picky": 53, "plain": 60}
    assert found.events["picky"]["refused"] == 7
    assert found.more["refusals"] == {"picky": "Too little is known."}
    test = found.more["comparisons"][0]
    assert (test["users"], test["left_out"]) == (53, 7)
    mean = np.mean([row["metrics"]["ndcg@10"] for row in rows[7:]])
    assert found.rankers["picky"]["ndcg@10"]["mean"] == pytest.approx(mean, abs=1e-4)


def test_nobody_answered_is_no_row_of_zeros(dataset, tmp_path):
    exam = exam_of(dataset, history=0)

    def refuses(history, candidates):
        assert len(history) == 0
        raise DataError("The history is empty.")

    found = report(run(exam, {"mute": Hand(refuses), "plain": Hand(PEEKS["the id"])}, tmp_path / "run"))
    assert list(found.rankers) == ["plain"]
    assert found.more["answered"]["mute"] == 0
    assert found.events["mute"] == {"refused": 60}


def test_a_run_goes_on_where_it_was(dataset, tmp_path):
    exam = exam_of(dataset, users=9)
    asked = []

    def noting(history, candidates):
        asked.append(len(candidates))
        return np.arange(len(candidates))

    rankers = {"a": Hand(noting, "a"), "b": Hand(PEEKS["the id"], "b")}
    whole = run(exam, rankers, tmp_path / "run")
    lines = whole.rows_path.read_bytes().splitlines(keepends=True)
    assert (len(lines), len(asked)) == (18, 9)

    def but_times(path):
        return [{k: v for k, v in row.items() if k != "seconds"} for row in read_lines(path)]

    rows = but_times(whole.rows_path)
    for kept in (0, 1, 2, 11, 17):
        whole.rows_path.write_bytes(b"".join(lines[:kept]) + lines[kept][:20])
        run_exam(exam, rankers, whole, seed=0)
        assert but_times(whole.rows_path) == rows


def test_rows_of_another_run_are_not_gone_on_with(dataset, tmp_path):
    exam = exam_of(dataset, users=4)
    done = run(exam, {"a": Hand(PEEKS["the id"])}, tmp_path / "run")
    with pytest.raises(ConfigError, match="where 'b' for"):
        run_exam(exam, {"b": Hand(PEEKS["the id"])}, done, seed=0)


def test_a_damaged_row_is_named(dataset, tmp_path):
    done = run(exam_of(dataset, users=4), {"a": Hand(PEEKS["the id"])}, tmp_path / "run")
    lines = done.rows_path.read_bytes().splitlines(keepends=True)
    done.rows_path.write_bytes(lines[0] + b"{oops}\n" + lines[2])
    with pytest.raises(DataError, match="line 2 is no JSON"):
        report(done)


def test_mending_looks_at_the_end_of_a_long_file(tmp_path):
    done = RunDirectory(tmp_path)
    long = json.dumps({"x": "y" * 200_000}).encode()
    done.rows_path.write_bytes(b'{"a": 1}\n' + long)
    done.mend()
    assert list(done.rows()) == [{"a": 1}]
    done.rows_path.write_bytes(long)
    done.mend()
    assert done.rows_path.read_bytes() == b""


def test_two_rows_of_one_user_are_no_number(dataset, tmp_path):
    done = run(exam_of(dataset, users=4), {"a": Hand(PEEKS["the id"])}, tmp_path / "run")
    first = done.rows_path.read_bytes().splitlines(keepends=True)[0]
    done.rows_path.write_bytes(done.rows_path.read_bytes() + first)
    with pytest.raises(DataError, match=r"two rows of 'a' for user .* another --out"):
        report(done)


def test_a_run_belongs_to_one_at_a_time(dataset, tmp_path):
    pytest.importorskip("fcntl")
    exam = exam_of(dataset, users=4)
    own = start(tmp_path / "run", ["a"], exam)
    with own.locked(), own.locked():  # whoever has it may ask again
        with pytest.raises(ConfigError, match=f"Another process is at work in run {tmp_path}/run"):
            run_exam(exam, {"a": Hand(PEEKS["the id"])}, RunDirectory(tmp_path / "run"), seed=0)
        run_exam(exam, {"a": Hand(PEEKS["the id"])}, own, seed=0)
    run_exam(exam, {"a": Hand(PEEKS["the id"])}, RunDirectory(tmp_path / "run"), seed=0)
    assert report(own).facts["users"] == 4


def _hold(folder, held):
    with RunDirectory(folder).locked():
        held.set()
        signal.pause()


def test_who_was_killed_holds_nothing(tmp_path):
    pytest.importorskip("fcntl")
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, held), daemon=True)
    holder.start()
    assert held.wait(120)
    with pytest.raises(ConfigError, match="Another process"), RunDirectory(tmp_path).locked():
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    with RunDirectory(tmp_path).locked():
        pass


@pytest.mark.parametrize("text", ["{", "{}", "[1]", "\x00"])
def test_a_damaged_manifest_is_said_in_one_line(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    for read in (lambda: RunDirectory(tmp_path).manifest, lambda: report(RunDirectory(tmp_path)),
                 lambda: RunDirectory.start(tmp_path, {"seed": 0}, resume=True)):  # fmt: skip
        with pytest.raises(DataError, match=r"manifest\.json is damaged"):
            read()


def test_a_manifest_of_something_else_is_said_in_one_line(tmp_path):
    (tmp_path / "manifest.json").write_text('{"data": "x", "negatives": "uniform", "rankers": ["a"]}')
    with pytest.raises(DataError, match="does not say its seed"):
        report(RunDirectory(tmp_path))


def test_a_manifest_from_before_a_key_was_written(tmp_path):
    claim(tmp_path / "manifest.json", {"seed": 0}, resume=False)
    with pytest.raises(ConfigError, match="does not say with what code it was made, now it is 'abc'"):
        claim(tmp_path / "manifest.json", {"seed": 0, "code": "abc"}, resume=True)


def test_what_was_set_is_named_before_what_follows_from_it(tmp_path):
    made = {"users": 5, "seed": 0, "data_fingerprint": "a", "baseline": "x"}
    claim(tmp_path / "manifest.json", made, resume=False)
    words = r"was made with users 5, now it is 6 \(with it differ data_fingerprint\)\. Choose"
    with pytest.raises(ConfigError, match=words):
        claim(tmp_path / "manifest.json", made | {"users": 6, "data_fingerprint": "b"}, resume=True)
    with pytest.raises(ConfigError, match="seed 0, now it is 1 and was made with users 5, now it is 6"):
        claim(tmp_path / "manifest.json", made | {"users": 6, "seed": 1}, resume=True)
    with pytest.raises(ConfigError, match="was made with data_fingerprint 'a', now it is 'b'"):
        claim(tmp_path / "manifest.json", made | {"data_fingerprint": "b"}, resume=True)


def test_the_baseline_of_the_report_bars_no_resume(tmp_path):
    made = {"users": 5, "data": "x", "negatives": "uniform", "baseline": "a"}
    claim(tmp_path / "manifest.json", made, resume=False)
    other = made | {"baseline": "b"}
    claim(tmp_path / "manifest.json", other, resume=True)
    assert RunDirectory(tmp_path).manifest == other
    assert manifest_name(made) == manifest_name(other)


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(ConfigError, match=f"Cannot write to {out}: .* Choose another --out"):
            RunDirectory.start(out, {"seed": 0}, resume=False)


def test_a_file_that_cannot_grow_is_named(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, limits[1]))
    try:
        with pytest.raises(OSError, match=r"rows\.jsonl"):
            append_line(tmp_path / "rows.jsonl", {"user": "u1"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
