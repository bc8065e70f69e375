import pytest

torch = pytest.importorskip("torch", reason="training is NOT TESTED: the extra [hf] is not installed")
pytest.importorskip("peft", reason="training is NOT TESTED: the extra [hf] is not installed")

import numpy as np  # noqa: E402

from llmrec_prompt.adapt.histories import Window  # noqa: E402
from llmrec_prompt.adapt.objectives.predictive import HORIZON, Predictive  # noqa: E402

from ..learning import bench, learn, quality, source  # noqa: E402
from ..planted import plant  # noqa: E402

WIDTH = 16


def user(length, own=None):
    return Window(
        tuple(range(length)), tuple(range(length)), (0,) * length, (0,) * length, own or np.arange(1)
    )


def by_hand(states, lengths, scale):
    """InfoNCE in loops, the step matrices being the identity."""
    unit = torch.nn.functional.normalize(states, dim=-1)
    means = []
    for distance in range(1, HORIZON + 1):
        losses = []
        for b, length in enumerate(lengths):
            others = [unit[c, k] for c, n in enumerate(lengths) if c != b for k in range(n)]
            for k in range(length - distance):
                pool = torch.stack([unit[b, k + distance], *others])
                losses.append(-(scale * pool @ unit[b, k]).log_softmax(0)[0])
        means.append(torch.stack(losses).mean())
    return torch.stack(means).mean()


def test_the_loss_by_hand():
    lengths = (6, 4, 5)
    states = torch.randn(3, 6, WIDTH, generator=torch.Generator().manual_seed(0))
    objective = Predictive(WIDTH)
    found = objective.loss(states, 0, [user(n) for n in lengths])
    wanted = by_hand(states, lengths, objective.log_scale.exp())
    torch.testing.assert_close(found, wanted)


def test_two_windows_of_one_user_are_not_told_apart():
    own = np.arange(3)
    states = torch.randn(2, 5, WIDTH)
    windows = [Window((0,) * 5, tuple(range(5)), (0,) * 5, (0,) * 5, own) for _ in range(2)]
    assert Predictive(WIDTH).loss(states, 0, windows) < 1e-6


def test_histories_of_one_item_predict_nothing():
    states = torch.randn(2, 1, WIDTH, requires_grad=True)
    loss = Predictive(WIDTH).loss(states, 0, [user(1), user(1)])
    loss.backward()
    assert loss == 0


@pytest.mark.hf
def test_it_falls_on_planted_histories_and_helps_more_than_on_scrambled_ones(tiny, tmp_path):
    many = source(plant(tmp_path / "many", users=180), test=0, validation=120, labelled=False)
    found = []
    for shuffle in (False, True):
        given = bench(tiny, {"predictive": 1}, [many], shuffle_targets=shuffle)
        before = quality(given)
        first, last = learn(given)
        assert last < 0.4 * first
        found.append(quality(given) - before)
    assert found[0] > 0.03
    assert found[0] > found[1]


@pytest.mark.hf
def test_nothing_but_lora_is_published(tiny, ring):
    given = bench(tiny, {"predictive": 1}, [ring], steps=1)
    own = {name for name, _ in given.course.module.named_parameters() if name.startswith("objectives.")}
    assert own == {"objectives.predictive.ahead", "objectives.predictive.log_scale"}
    assert all("lora_" in name for name, _ in given.network.trainable)
    assert given.course.mode == "encoder"


def test_the_loss_is_exact_under_autocast():
    states = 1 + 0.2 * torch.randn(3, 6, WIDTH, generator=torch.Generator().manual_seed(0))
    objective, windows = Predictive(WIDTH), [user(n) for n in (6, 4, 5)]
    wanted = objective.loss(states, 0, windows)
    with torch.autocast("cpu", torch.bfloat16):
        found = objective.loss(states, 0, windows)
    torch.testing.assert_close(found, wanted)
