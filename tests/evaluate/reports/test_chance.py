from itertools import permutations

import numpy as np
import pytest

from llmrec_prompt.errors import ConfigError, UnknownName
from llmrec_prompt.evaluate.metrics import compute
from llmrec_prompt.evaluate.reports.chance import guess


@pytest.mark.parametrize("relevant", [1, 2, 3])
@pytest.mark.parametrize("metric", ["hr@1", "hr@2", "ndcg@2", "ndcg@10", "mrr", "mrr@3"])
def test_chance_is_the_mean_over_all_orders(relevant, metric):
    orders = list(permutations("abcde"))
    values = [compute(order, set("abc"[:relevant]), [metric])[metric] for order in orders]
    assert guess(5, relevant, metric) == pytest.approx(sum(values) / len(values))


def test_chance_of_twenty_candidates():
    assert guess(20, 1, "ndcg@10") == pytest.approx(0.2272, abs=1e-4)
    assert (guess(20, 1, "hr@10"), guess(20, 1, "hr@1")) == (0.5, 0.05)
    assert guess(3, 1, "mrr") == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)


@pytest.mark.parametrize("n", [2, 5, 20])
@pytest.mark.parametrize("metric", ["hr@1", "hr@10", "ndcg@5", "ndcg@10", "mrr", "mrr@3"])
def test_chance_of_one_right_item_is_the_mean_over_all_places(n, metric):
    ids = [str(i) for i in range(n)]
    assert guess(n, 1, metric) == pytest.approx(np.mean([compute(ids, {i}, [metric])[metric] for i in ids]))


def test_chance_matches_random_rankings():
    rng = np.random.default_rng(8)
    names = ["hr@5", "ndcg@10", "mrr"]
    values = []
    for _ in range(4000):
        ids = [str(i) for i in rng.permutation(20)]
        values.append(list(compute(ids, {"0"}, names).values()))
    for name, column in zip(names, np.array(values).T, strict=True):
        assert guess(20, 1, name) == pytest.approx(column.mean(), abs=4 * column.std() / np.sqrt(len(column)))


def test_a_single_candidate_is_always_found():
    assert {guess(1, 1, name) for name in ("hr@1", "hr@10", "ndcg@10", "mrr")} == {1.0}


@pytest.mark.parametrize("relevant", [1, 2])
def test_chance_of_other_metrics_is_not_made_up(relevant):
    with pytest.raises(ConfigError, match="'auc' is not known"):
        guess(5, relevant, "auc")
    with pytest.raises(ConfigError, match="k=0"):
        guess(5, relevant, "hr@0")
    with pytest.raises(UnknownName, match="Did you mean 'ndcg@K'"):
        guess(5, relevant, "ndgc@10")
