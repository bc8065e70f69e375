"""The encoder's loss by hand, and that what trains is what ranks."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from llmrec_prompt.adapt.encode import Encode, nearness_so_far  # noqa: E402
from llmrec_prompt.adapt.histories import Window  # noqa: E402
from llmrec_prompt.adapt.recipe import Source, Stage  # noqa: E402
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


def objective(**options):
    stage = Stage(name="x", sources=(Source(data="x"),), **options)
    made = Encode(Table(), [(None, Plain())], stage)
    made.start_from(3.0, 2.0, 7.0)
    return made


def test_what_trains_is_what_ranks():
    cosines = np.random.default_rng(1).uniform(-1, 1, (5, 7))
    found = nearness_so_far(torch.tensor(cosines), torch.tensor(4.0)).numpy()
    wanted = [nearness(cosines[: k + 1], 4.0) for k in range(5)]
    assert found == pytest.approx(np.array(wanted))


def test_the_loss_by_hand():
    states = np.random.default_rng(2).normal(size=(2, 3, 4))
    batch = [window(ROWS), window((3, 4))]
    found = objective().loss(torch.tensor(states), 0, batch, step=0).detach()
    pool, items, wanted = [1, 2, 4], unit(STATES), []
    for b, own in enumerate(batch):
        for k, target in enumerate(own.targets):
            scores = 3.0 * items[pool] @ unit(states[b, k])
            scores = scores + 2.0 * nearness(items[list(own.rows[: k + 1])] @ items[pool].T, 7.0)
            fair = [i for i, row in enumerate(pool) if row == target or row not in own.own]
            wanted.append(np.log(np.exp(scores[fair]).sum()) - scores[pool.index(target)])
    assert float(found) == pytest.approx(np.mean(wanted), rel=1e-5)


def test_what_was_had_before_the_window_counts_as_near_too():
    states = np.random.default_rng(2).normal(size=(2, 3, 4))
    batch = [replace(window(ROWS), before=(5, 0)), window((3, 4))]
    found = objective().loss(torch.tensor(states), 0, batch, step=0).detach()
    pool, items, wanted = [1, 2, 4], unit(STATES), []
    for b, own in enumerate(batch):
        for k, target in enumerate(own.targets):
            known = [*own.before, *own.rows[: k + 1]]
            scores = 3.0 * items[pool] @ unit(states[b, k])
            scores = scores + 2.0 * nearness(items[known] @ items[pool].T, 7.0)
            fair = [i for i, row in enumerate(pool) if row == target or row not in own.own]
            wanted.append(np.log(np.exp(scores[fair]).sum()) - scores[pool.index(target)])
    assert float(found) == pytest.approx(np.mean(wanted), rel=1e-5)


def test_a_cap_leaves_positions_out_but_no_history_item():
    states = torch.tensor(np.random.default_rng(2).normal(size=(2, 3, 4)))
    batch = [window(ROWS), window((3, 4))]
    assert torch.isfinite(objective(items=2).loss(states, 0, batch, step=0))


def test_all_temperatures_are_learnt():
    made = objective()
    made.loss(
        torch.tensor(np.random.default_rng(2).normal(size=(2, 3, 4))), 0, [window(ROWS), window((3, 4))], 0
    ).backward()
    assert made.log_scale.grad != 0
    assert made.log_near.grad != 0
    assert made.log_focus.grad != 0
    assert [made.scale, made.near, made.focus] == pytest.approx([3.0, 2.0, 7.0])
    made.start_from(5.0, 4.0)  # a card from before focus was learnt apart
    assert [made.scale, made.near, made.focus] == pytest.approx([5.0, 4.0, 4.0])
