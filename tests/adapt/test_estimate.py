"""What is said before a training: from steps in the recipe's own arithmetic, which leave nothing behind."""

import pytest

torch = pytest.importorskip("torch", reason="training is NOT TESTED: the extra [hf] is not installed")
pytest.importorskip("peft", reason="training is NOT TESTED: the extra [hf] is not installed")

from llmrec_prompt.adapt import Recipe  # noqa: E402

from .learning import source  # noqa: E402


def built(tiny, ring, layers):
    from llmrec_prompt.adapt.building import build

    stage = {"name": "x", "sources": [source(ring)], "steps": 10, "batch": 4, "history": 6}
    plan = {"base": f"hf:{tiny}", "precision": "fp32", "lora": {"layers": layers}, "stages": [stage]}
    recipe = Recipe.parse(plan)
    return build(recipe, recipe.stages[0], None), recipe.stages[0]


class Steps:
    """Counts the steps and sees their arithmetic; the first is slow, as where an engine warms up."""

    def __init__(self, forward, slow):
        self.forward, self.slow, self.autocast = forward, slow, []

    def __call__(self, lesson):
        import time

        time.sleep(0 if self.autocast else self.slow)
        self.autocast.append(torch.is_autocast_enabled("cpu"))
        return self.forward(lesson)


@pytest.mark.parametrize(("layers", "steps"), [(None, 2), (1, 3)])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_steps_are_measured_as_they_will_be_made(tiny, ring, monkeypatch, tmp_path, layers, steps, precision):
    from llmrec_prompt.adapt.estimate import estimate

    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path))
    bench, stage = built(tiny, ring, layers)
    made = Steps(bench.course.module.forward, slow=1.0)
    bench.course.module.forward = made
    found = estimate(bench, stage, precision)
    assert made.autocast == [precision == "bf16"] * steps
    assert 0 < found.seconds < 10 * made.slow  # as much as ten steps if the first were like the rest
    assert found.tokens_per_step > 0
    assert all(p.grad is None for p in bench.course.module.parameters())
