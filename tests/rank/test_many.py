import threading
import time

import pytest

from llmrec_prompt.errors import DataError
from llmrec_prompt.rank import Request, rank, rank_many

from .toys import Toy, items

CANDIDATES = items("abcd")


def asked(count):
    return [(items([f"u{i}"]), CANDIDATES, Request(user=str(i))) for i in range(count)]


def by_user(seen, name):
    return (ord(name) * (int(seen[0][1:]) + 3)) % 7


def test_answers_are_those_of_one_at_a_time_in_the_order_asked():
    ranker = Toy(by_user)
    found = list(rank_many(ranker, asked(30), workers=4))
    assert [r.user for r in found] == [str(i) for i in range(30)]
    assert [r.ids for r in found] == [rank(ranker, *ask).ids for ask in asked(30)]


def test_so_many_are_under_way_and_no_more():
    busy, most, lock = 0, 0, threading.Lock()

    def slow(seen, name):
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(0.002)
        with lock:
            busy -= 1
        return 0.0

    list(rank_many(Toy(slow), asked(12), workers=3))
    assert most == 3


def test_users_are_taken_as_they_are_needed():
    taken = []

    def endless():
        for i in range(10**9):
            taken.append(i)
            yield items([f"u{i}"]), CANDIDATES, Request(user=str(i))

    answers = rank_many(Toy(by_user), endless(), workers=2)
    assert next(answers).user == "0"
    assert len(taken) <= 4
    answers.close()


def test_a_failure_comes_at_the_place_of_its_user():
    several = asked(6)
    several[3] = (several[3][0], [], Request(user="3"))
    answers = rank_many(Toy(by_user), several, workers=2)
    assert [next(answers).user for _ in range(3)] == ["0", "1", "2"]
    with pytest.raises(DataError, match="no candidates"):
        next(answers)
