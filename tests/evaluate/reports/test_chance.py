from itertools import permutations

import pytest

from llmrec_prompt.errors import ConfigError
from llmrec_prompt.evaluate.metrics import compute
from llmrec_prompt.evaluate.reports.chance import guess


@pytest.mark.parametrize("relevant", [1, 2, 3])
@pytest.mark.parametrize("metric", ["hr@1", "hr@2", "ndcg@2", "ndcg@10", "mrr"])
def test_chance_is_the_mean_over_all_orders(relevant, metric):
    orders = list(permutations("abcde"))
    values = [compute(order, set("abc"[:relevant]), [metric])[metric] for order in orders]
    assert guess(5, relevant, metric) == pytest.approx(sum(values) / len(values))


def test_chance_of_other_metrics_is_not_made_up():
    with pytest.raises(ConfigError, match="not known where 2"):
        guess(5, 2, "auc")
