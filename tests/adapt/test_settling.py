"""What validation users choose: how an encoder ranks, and with what of popularity."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

from llmrec_prompt.adapt.building import Bench
from llmrec_prompt.adapt.settling import Settled, settle


class Exam:
    """Stands for validation users to whom ranking at home and by items alone is worth so much."""

    def __init__(self, home, alone, source=0):
        self.home, self.alone, self.source = home, alone, source

    def catalogue(self, encode):
        return "states"

    def by_focus(self, network, encode, states):
        return {factor: curves(self.home - abs(factor - 2), 0.25) for factor in (1.0, 2.0)}

    def centred(self, states):
        return curves(self.alone, 0.5)


def curves(worth, weight):
    """The metric of the one user is `worth` at this weight of popularity and less at another."""
    return {kind: {0.0: np.array([worth - 1]), weight: np.array([worth])} for kind in ("uniform", "popular")}


def settled(*exams):
    reader = SimpleNamespace(focus=3.0)
    reader.start_from = lambda scale, near, focus: setattr(reader, "focus", focus)
    course = SimpleNamespace(reader=reader, judge=lambda exam, states: (exam, states))
    bench = Bench(None, None, [], course, list(exams), lambda: list(exams))
    return settle(bench), reader.focus


def test_home_is_kept_where_it_is_as_good_and_gets_its_best_focus():
    exam = Exam(home=5.0, alone=5.0)
    found, focus = settled(exam)
    assert found == Settled({"uniform": 0.25, "popular": 0.25}, [(exam, "states")])
    assert focus == 6.0


def test_items_alone_where_they_serve_validation_users_better():
    found, focus = settled(Exam(home=5.0, alone=5.1), Exam(home=3.0, alone=3.1, source=1))
    assert found.centred
    assert found.popularity == {"uniform": 0.5, "popular": 0.5}
    assert found.curves == [curves(5.1, 0.5), curves(3.1, 0.5)]
    assert focus == 3.0


def test_one_choice_for_all_sources():
    assert not settled(Exam(home=5.0, alone=3.0), Exam(home=3.0, alone=4.0, source=1))[0].centred


def test_nobody_to_ask_chooses_nothing():
    assert settled() == (Settled({}, []), 3.0)


def test_a_group_of_the_same_source_reads_the_catalogue_once():
    read = []
    one, other = Exam(home=5.0, alone=3.0), Exam(home=3.0, alone=4.0)
    one.catalogue = other.catalogue = lambda encode: read.append(encode) or "states"
    settled(one, other)
    assert len(read) == 1
