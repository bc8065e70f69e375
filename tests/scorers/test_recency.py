import numpy as np
import pytest

from llmrec_prompt.data import Cleaning, Dataset
from llmrec_prompt.errors import ConfigError, DataError
from llmrec_prompt.scorers.plain import PopularityScorer
from llmrec_prompt.scorers.recency import DAY, RecencyScorer
from llmrec_prompt.types import Interaction

from .small import dataset, item


def logs(*rows):
    """`user item day` each; a day may be None."""
    items = [{"item_id": name, "title": name} for name in "abc"]
    likes = [
        Interaction(user, name, timestamp=None if day is None else day * DAY) for user, name, day in rows
    ]
    return Dataset.from_rows(items, likes, cleaning=Cleaning(preference="none"))


LOGS = logs(("u1", "a", 0), ("u2", "a", 0), ("u3", "a", 10), ("u1", "b", 20))


def test_hand_worked():
    scores = RecencyScorer(LOGS, half_life=10).score([])
    assert scores == pytest.approx(np.log1p([0.25 + 0.25 + 0.5, 1, 0]))
    assert scores.tolist() == RecencyScorer(LOGS, half_life=10).score([item("a")]).tolist()


def test_a_short_half_life_prefers_what_is_new_and_an_endless_one_is_popularity():
    assert RecencyScorer(LOGS, half_life=1).score([])[0] < RecencyScorer(LOGS, half_life=1).score([])[1]
    assert RecencyScorer(LOGS, half_life=1e9).score([]) == pytest.approx(PopularityScorer(LOGS).score([]))


def test_undated_likes_are_left_out_and_counted():
    some = logs(("u1", "a", None), ("u2", "b", 3))
    assert RecencyScorer(some).score([]).tolist() == pytest.approx([0, np.log(2), 0])
    assert RecencyScorer(some, half_life=5).settings == {"half_life": 5, "undated": 1}
    with pytest.raises(DataError, match="None of the 2 likes of rows has a date"):
        RecencyScorer(logs(("u1", "a", None), ("u2", "b", None)))


def test_a_half_life_that_cannot_be_meant():
    for wrong in (0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="half-life of"):
            RecencyScorer(LOGS, half_life=wrong)


def test_milliseconds_give_the_same_scores_as_seconds():
    days = (18_000, 18_010, 18_020)
    rows = [(f"u{day}", name, day) for name, day in zip("aab", days, strict=True)]
    in_ms = [(user, name, day * 1000) for user, name, day in rows]
    assert RecencyScorer(logs(*in_ms)).score([]).tolist() == RecencyScorer(logs(*rows)).score([]).tolist()


def test_without_logs_all_is_zero():
    assert RecencyScorer(dataset("a, b")).score([item("a")]).tolist() == [0.0, 0.0]
