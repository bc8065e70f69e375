import pytest

from llmrec_prompt.progress import reporting, track


def test_nobody_listens_and_the_steps_come_all_the_same():
    assert list(track(iter("abc"), "letters", 3)) == ["a", "b", "c"]


def test_a_reporter_hears_every_step_and_the_end():
    heard = []
    with reporting(lambda *told: heard.append(told)):
        for step in track("ab", "letters", 2):
            heard.append(step)
    assert heard == [("letters", 0, 2), "a", ("letters", 1, 2), "b", ("letters", 2, 2)]


def test_nothing_is_heard_outside_the_block():
    heard = []
    with reporting(lambda *told: heard.append(told)):
        pass
    list(track("ab", "letters", 2))
    assert heard == []


def test_the_inner_reporter_hears_and_the_outer_returns_also_after_an_error():
    outer, inner = [], []

    def fail():
        with reporting(lambda label, *_: inner.append(label)):
            list(track("a", "inner", 1))
            raise RuntimeError

    with reporting(lambda label, *_: outer.append(label)):
        with pytest.raises(RuntimeError):
            fail()
        list(track("a", "outer", 1))
    assert set(inner) == {"inner"}
    assert set(outer) == {"outer"}


def test_work_that_is_left_early_is_not_reported_as_done():
    heard = []
    with reporting(lambda *told: heard.append(told)):
        for _ in track("abc", "letters", 3):
            break
    assert heard == [("letters", 0, 3)]
