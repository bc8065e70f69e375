import numpy as np
import pytest

from llmrec_prompt.scorers.plain import PopularityScorer, RandomScorer

from .small import dataset, item

DATA = dataset("a, b, c, d", "u1 a b\nu2 a b c\nu3 b\n")
MANY = dataset(",".join(f"t{n}" for n in range(200)))


def test_random_is_fixed_by_seed_and_history():
    history = [item("t1"), item("t2")]
    scores = RandomScorer(MANY, seed=3).score(history)
    assert scores.shape == (200,)
    assert len(set(scores.tolist())) == 200
    assert 0 <= scores.min() < 0.1
    assert 0.9 < scores.max() < 1
    assert scores.tolist() == RandomScorer(MANY, seed=3).score(list(history)).tolist()
    assert scores.tolist() != RandomScorer(MANY, seed=4).score(history).tolist()
    others = [[item("t1")], [item("t2"), item("t1")], [item("t1t2")], []]
    assert all(scores.tolist() != RandomScorer(MANY, seed=3).score(other).tolist() for other in others)
    assert RandomScorer(MANY, seed=3).settings == {"seed": 3}


def test_random_is_uniform_over_items():
    data = dataset("a, b, c, d")
    first = [int(np.argmax(RandomScorer(data, seed=s).score([item("a")]))) for s in range(1000)]
    assert np.bincount(first, minlength=4) == pytest.approx(np.full(4, 250), abs=60)


def test_popularity_counts_users_whoever_asks():
    scorer = PopularityScorer(DATA)
    assert scorer.score([]) == pytest.approx(np.log([3, 4, 2, 1]))
    assert [DATA.items[row].item_id for row in np.argsort(-scorer.score([item("a")]))] == ["b", "a", "c", "d"]
    assert scorer.settings == {}
