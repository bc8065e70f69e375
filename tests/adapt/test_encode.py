"""The encoder's loss by hand, and that what trains is what ranks."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from llmrec_prompt.adapt.encode import Encode, nearness_so_far  # noqa: E402
from llmrec_prompt.adapt.histories import Window  # noqa: E402
from llmrec_prompt.rank.nearness import nearness  # noqa: E402

STATES = np.random.default_rng(0).normal(size=(6, 4))
"""Of six items, as the network below reads them."""
ROWS = (0, 1, 2, 1)
"""One user's history; another's is 3, 4."""


class Table:
    """Stands for a network whose item states are known: the text of item k is the token k."""

    device = torch.device("cpu")

    def ends(self, sequences):
        return torch.tensor(STATES[[sequence[0] for sequence in sequences]])


class Plain:
    """Stands for the texts of a catalogue."""

    def item(self, row):
        return (row,)


def window(rows):
    ends = tuple(range(len(rows) - 1))
    return Window(ends, ends, tuple(rows[1:]), tuple(rows[:-1]), np.unique(rows))


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def objective():
    made = Encode(Table(), [(None, Plain())])
    made.start_from(3.0, 2.0, 7.0)
    return made


def test_what_trains_is_what_ranks():
    cosines = np.random.default_rng(1).uniform(-1, 1, (5, 7))
    found = nearness_so_far(torch.tensor(cosines), torch.tensor(4.0)).numpy()
    wanted = [nearness(cosines[: k + 1], 4.0) for k in range(5)]
    assert found == pytest.approx(np.array(wanted))


def by_hand(states, batch):
    """Every item of the windows is a candidate, but what the user has besides the target."""
    pool = sorted({row for own in batch for row in (*own.rows, *own.targets)})
    items, losses = unit(STATES), []
    for b, own in enumerate(batch):
        for k, target in enumerate(own.targets):
            known = [*own.before, *own.rows[: k + 1]]
            scores = 3.0 * items[pool] @ unit(states[b, k])
            scores = scores + 2.0 * nearness(items[known] @ items[pool].T, 7.0)
            fair = [i for i, row in enumerate(pool) if row == target or row not in own.own]
            losses.append(np.log(np.exp(scores[fair]).sum()) - scores[pool.index(target)])
    return np.mean(losses)


@pytest.mark.parametrize("before", [(), (5, 0)])
def test_the_loss_by_hand(before):
    states = np.random.default_rng(2).normal(size=(2, 3, 4))
    batch = [replace(window(ROWS), before=before), window((3, 4))]
    found = objective().loss(torch.tensor(states), 0, batch).detach()
    assert float(found) == pytest.approx(by_hand(states, batch), rel=1e-5)


def test_all_temperatures_are_learnt():
    made = objective()
    states = torch.tensor(np.random.default_rng(2).normal(size=(2, 3, 4)))
    made.loss(states, 0, [window(ROWS), window((3, 4))]).backward()
    assert made.log_scale.grad != 0
    assert made.log_near.grad != 0
    assert made.log_focus.grad != 0
    assert [made.scale, made.near, made.focus] == pytest.approx([3.0, 2.0, 7.0])
    made.start_from(5.0, 4.0)  # a card from before focus was learnt apart
    assert [made.scale, made.near, made.focus] == pytest.approx([5.0, 4.0, 4.0])


def test_the_loss_is_exact_under_autocast():
    """Item states that lie as near each other as a language model's, and what is learnt of them."""
    dice = np.random.default_rng(3)
    rows = torch.tensor(1 + 0.2 * dice.normal(size=(24, 64)), dtype=torch.float32)
    windows = [window(tuple(range(0, 12))), window(tuple(range(12, 24)))]

    def learnt(enabled):
        items, users = rows.clone().requires_grad_(), rows.flip(0)[:22].reshape(2, 11, 64).clone()
        network = Table()
        network.ends = lambda sequences: items[[sequence[0] for sequence in sequences]]
        made = Encode(network, [(None, Plain())])
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = made.loss(users, 0, windows)
        loss.backward()
        return loss.detach(), items.grad, made.log_focus.grad, made.log_near.grad, made.log_scale.grad

    for found, wanted in zip(learnt(True), learnt(False), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)
