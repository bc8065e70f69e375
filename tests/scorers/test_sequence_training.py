"""The loss and the validation metric, on a network small enough to work out by hand."""

import importlib.util
from math import log2

import numpy as np
import pytest

if importlib.util.find_spec("torch") is None:
    pytest.skip("the networks need torch", allow_module_level=True)

import torch
from torch.nn import functional

from llmrec_prompt.scorers.lstm import LstmScorer, LstmShape
from llmrec_prompt.scorers.sasrec import SasrecScorer, SasrecShape
from llmrec_prompt.scorers.sequence_training import NextItemNetwork, Plan, next_item_loss, validation_ndcg

pytestmark = pytest.mark.hf


class Successor(NextItemNetwork):
    """Expects item n + 1 after item n, and next to it item n + 2; the bias breaks no tie."""

    def __init__(self, size: int) -> None:
        super().__init__(np.ones(size, np.int64), size)
        with torch.no_grad():
            self.items.weight.copy_(torch.eye(size + 1, size))

    def forward(self, inputs):
        size = self.vocabulary
        return 2 * torch.eye(size)[(inputs + 1) % size] + torch.eye(size)[(inputs + 2) % size]


def histories(*rows):
    return [np.array(row, np.int64) for row in rows]


def test_validation_asks_for_each_late_item_given_what_came_before():
    network, plan = Successor(30), Plan(length=12)
    assert validation_ndcg(network, histories([4, 5, 6, 7]), plan) == pytest.approx(1)
    assert validation_ndcg(network, histories([4, 6, 8]), plan) == pytest.approx(1 / log2(3))
    assert validation_ndcg(network, histories([4, 5], [4, 6]), plan) == pytest.approx((1 + 1 / log2(3)) / 2)


def test_validation_asks_for_the_last_ten_and_never_for_the_first():
    network = Successor(30)
    assert validation_ndcg(network, histories([9, 0, *range(1, 11)]), Plan(length=20)) == pytest.approx(1)
    assert validation_ndcg(network, histories([9, 0, *range(1, 10)]), Plan(length=20)) == pytest.approx(
        0.9 + 0.1 * gain(network, [9], 0)
    )


def gain(network, before, wanted):
    logits = network.logits(network(torch.tensor(before))[-1])
    logits[before] = -1e9
    rank = 1 + int((logits > logits[wanted]).sum())
    return 1 / log2(1 + rank) if rank <= 10 else 0.0


def test_items_the_user_had_are_not_ranked():
    # After 5 it expects 6 and then 7; the user had 6, so that 7 stands first.
    assert validation_ndcg(Successor(30), histories([6, 5, 7]), Plan(length=12)) == pytest.approx(
        (gain(Successor(30), [6], 5) + 1) / 2
    )


def test_a_sampled_softmax_with_all_items_is_the_softmax():
    network, targets = Successor(20), torch.tensor([3, 5, 3])
    states = torch.randn(3, 20, generator=torch.Generator().manual_seed(0))
    expected = functional.cross_entropy(network.logits(states), targets)
    assert next_item_loss(network, states, targets, 18).item() == pytest.approx(expected.item())


def test_few_negatives_stand_for_all_the_others():
    network, targets = Successor(20), torch.tensor([3, 5])
    states = torch.zeros(2, 20)
    states[0, 3] = states[1, 5] = 2.0  # all but the targets are alike, so that any two stand for them exactly
    expected = functional.cross_entropy(network.logits(states), targets)
    assert next_item_loss(network, states, targets, 2).item() == pytest.approx(expected.item())


def test_a_sampled_loss_estimates_the_loss():
    torch.manual_seed(0)
    network, targets, states = Successor(200), torch.arange(8), torch.randn(8, 200)
    expected = functional.cross_entropy(network.logits(states), targets).item()
    found = [next_item_loss(network, states, targets, 50).item() for _ in range(50)]
    assert np.mean(found) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(("scorer", "shape"), [(LstmScorer, LstmShape()), (SasrecScorer, SasrecShape())])
def test_no_position_sees_what_comes_later(scorer, shape):
    torch.manual_seed(0)
    network = scorer.build(np.ones(9, np.int64), shape, 5).eval()
    one, other = network(torch.tensor([[9, 1, 2, 3, 4]])), network(torch.tensor([[9, 1, 2, 8, 9]]))
    assert torch.equal(one[:, :3], other[:, :3])
    assert not torch.allclose(one[:, 3:], other[:, 3:])


@pytest.mark.parametrize(("scorer", "shape"), [(LstmScorer, LstmShape()), (SasrecScorer, SasrecShape())])
def test_order_matters(scorer, shape):
    torch.manual_seed(0)
    network = scorer.build(np.ones(9, np.int64), shape, 5).eval()
    one, other = network(torch.tensor([[9, 1, 2, 3]])), network(torch.tensor([[9, 2, 1, 3]]))
    assert not torch.allclose(one[:, -1], other[:, -1])


def test_training_begins_from_popularity():
    counts = np.array([3, 1, 0])
    bias = NextItemNetwork(counts, 4).bias
    assert bias.tolist() == pytest.approx(np.log((counts + 0.5) / 5.5).tolist())
