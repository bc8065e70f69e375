import pytest

torch = pytest.importorskip("torch", reason="training is NOT TESTED: the extra [hf] is not installed")
pytest.importorskip("peft", reason="training is NOT TESTED: the extra [hf] is not installed")

from llmrec_prompt.adapt.dense import Lesson, Part  # noqa: E402
from llmrec_prompt.adapt.histories import Window  # noqa: E402
from llmrec_prompt.adapt.objectives.adversarial import Adversarial, strength  # noqa: E402

from ..learning import bench, learn, quality, source  # noqa: E402
from ..planted import plant  # noqa: E402

WIDTH, USERS, STEPS = 8, 100, 300


def lesson(step):
    """Two sources of so many users, one item each."""
    window = Window((0,), (0,), (0,), (0,), None)
    return Lesson(step, (Part(0, (window,) * USERS), Part(1, (window,) * USERS)))


def two_sources(seed=0):
    """States (users, 1, width) whose first half differs in one direction from the second."""
    states = torch.randn(2 * USERS, 1, WIDTH, generator=torch.Generator().manual_seed(seed))
    states[:USERS, :, 0] += 2.0
    return states


def made():
    torch.manual_seed(0)
    return Adversarial(WIDTH, 2, STEPS)


def test_the_gradient_into_the_network_is_reversed_and_scaled_and_the_classifiers_own_is_not():
    objective, step = made(), 60
    states = two_sources().requires_grad_()
    objective.loss(states, lesson(step)).backward()
    reversed_gradient = states.grad.clone()
    own = [p.grad.clone() for p in objective.parameters()]
    users = torch.nn.functional.normalize(states[:, 0].detach().requires_grad_(), dim=-1)
    plain = states.detach().clone().requires_grad_()
    users = torch.nn.functional.normalize(plain[:, 0], dim=-1) * WIDTH**0.5
    sources = torch.tensor([0] * USERS + [1] * USERS)
    objective.zero_grad()
    torch.nn.functional.cross_entropy(objective.classifier(users), sources).backward()
    torch.testing.assert_close(reversed_gradient, -strength(step / STEPS) * plain.grad)
    for before, parameter in zip(own, objective.parameters(), strict=True):
        torch.testing.assert_close(before, parameter.grad)


def test_a_step_of_descent_confuses_the_classifier_and_teaches_it():
    objective = made()
    states = two_sources().requires_grad_()
    late = lesson(STEPS - 1)
    loss = objective.loss(states, late)
    gradient, *own = torch.autograd.grad(loss, [states, *objective.parameters()])
    with torch.no_grad():
        assert objective.loss(states - 0.5 * gradient, late) > loss
        for parameter, slope in zip(objective.parameters(), own, strict=True):
            parameter.sub_(0.05 * slope)
        assert objective.loss(states, late) < loss


def apart(users):
    """How far the sources' means lie apart, in standard deviations of the users around them."""
    halves = torch.nn.functional.normalize(users, dim=-1).split(USERS)
    spread = sum(half.var(0).sum() for half in halves) / 2
    return float((halves[0].mean(0) - halves[1].mean(0)).norm() / spread.sqrt())


@pytest.mark.parametrize("confuse", [True, False])
def test_trained_features_lose_what_tells_the_sources_apart_only_by_the_reversal(confuse, monkeypatch):
    if not confuse:
        monkeypatch.setattr("llmrec_prompt.adapt.objectives.adversarial.strength", lambda _: -1.0)
    objective, states = made(), two_sources()
    feature = torch.nn.Parameter(torch.eye(WIDTH))
    optimizer = torch.optim.Adam(
        [{"params": [feature], "lr": 0.02}, {"params": objective.parameters(), "lr": 0.02}]
    )
    before = apart(states[:, 0])
    for step in range(STEPS):
        optimizer.zero_grad()
        objective.loss(two_sources(step + 1) @ feature, lesson(step)).backward()
        optimizer.step()
    after = apart((states @ feature)[:, 0].detach())
    assert (after < 0.65 * before) if confuse else (after > before)


def test_lambda_grows_from_nothing():
    values = [strength(p / 10) for p in range(11)]
    assert values[0] == 0
    assert values == sorted(values)
    assert values[-1] == pytest.approx(1, abs=1e-3)


@pytest.mark.hf
def test_an_unlabelled_target_takes_part_in_nothing_else(tiny, groups, tmp_path):
    target = plant(tmp_path / "target", first=100, step=6, length=5, domain="shopping")
    sources = [source(groups), source(target, labelled=False, validation=0)]
    given = bench(tiny, {"encode": 1, "adversarial": 0.1}, sources, steps=40, batch=8)
    shown = []
    loss = given.course.module.objectives["encode"].loss
    given.course.module.objectives["encode"].loss = lambda s, i, *rest: shown.append(i) or loss(s, i, *rest)
    before = quality(given)
    learn(given, lr=3e-3)
    assert set(shown) == {0}
    assert {tuple(p.source for p in given.lessons[i].parts) for i in range(40)} == {(0, 1)}
    assert quality(given) > before
    assert 0 < given.course.module.last["adversarial"] < 2


def test_the_loss_is_exact_under_autocast():
    objective, states = made(), two_sources()
    wanted = objective.loss(states, lesson(60))
    with torch.autocast("cpu", torch.bfloat16):
        found = objective.loss(states, lesson(60))
    torch.testing.assert_close(found, wanted)
