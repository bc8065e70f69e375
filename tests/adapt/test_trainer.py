"""What Trainer is kept to: when it stops, where a kill leaves it, and the arithmetic of validation."""

import json

import pytest

torch = pytest.importorskip("torch", reason="training is NOT TESTED: the extra [hf] is not installed")
pytest.importorskip("peft", reason="training is NOT TESTED: the extra [hf] is not installed")

from llmrec_prompt.adapt import Recipe  # noqa: E402

from .learning import bench, source  # noqa: E402


class Judge:
    """Gives a metric for each evaluation, and is killed where there is none left."""

    def __init__(self, *metrics):
        self.left, self.autocast = list(metrics), None

    def __call__(self):
        self.autocast = torch.is_autocast_enabled("cpu")
        if not self.left:
            raise KeyboardInterrupt
        return {"ndcg@10": self.left.pop(0)}


def go(tiny, ring, folder, judge, precision="fp32", **changes):
    """Train, or go on with what is there; gives the steps after which there was an evaluation."""
    from llmrec_prompt.adapt.trainer import run

    stage = {"name": "x", "sources": [source(ring)], "steps": 8, "evaluate_every": 2, "batch": 4, **changes}
    recipe = Recipe.parse({"base": f"hf:{tiny}", "precision": precision, "stages": [stage]})
    made = bench(tiny, {"encode": 1.0}, [source(ring)], steps=recipe.stages[0].steps, batch=4)
    options = {"recipe": recipe, "stage": recipe.stages[0], "folder": folder}
    rows = run(made.course.module, made.lessons, judge, **options)
    return [row["step"] for row in rows if "eval_ndcg@10" in row]


def test_patience_goes_on_waiting_after_a_kill(tiny, ring, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        go(tiny, ring, tmp_path, Judge(0.5, 0.4), patience=2)
    assert go(tiny, ring, tmp_path, Judge(0.3, 0.2, 0.1), patience=2) == [2, 4, 6]


@pytest.mark.parametrize("patience", [1, None])
def test_what_had_stopped_is_not_trained_on(tiny, ring, tmp_path, patience):
    """As where a kill comes while the adapter is written."""
    steps = go(tiny, ring, tmp_path, Judge(0.5, 0.4, 0.3, 0.2), patience=patience)
    last = steps[-1]
    assert last == (4 if patience else 8)
    assert go(tiny, ring, tmp_path, Judge(), patience=patience) == steps
    checkpoints = {path.name for path in tmp_path.glob("checkpoint-*")}
    assert checkpoints == {"checkpoint-2", f"checkpoint-{last}"}
    state = json.loads((tmp_path / f"checkpoint-{last}/trainer_state.json").read_text())
    assert state["global_step"] == last


@pytest.mark.parametrize(("precision", "wanted"), [("fp32", False), ("bf16", True)])
def test_checkpoints_are_judged_in_the_arithmetic_of_the_recipe(tiny, ring, tmp_path, precision, wanted):
    judge = Judge(0.5)
    go(tiny, ring, tmp_path, judge, precision, steps=2)
    assert judge.autocast is wanted


def test_the_time_is_kept_with_every_checkpoint(tiny, ring, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        go(tiny, ring, tmp_path, Judge(0.5))
    assert json.loads((tmp_path / "seconds.json").read_text()) > 0
