"""What a run's folder is a run of: whatever could change the adapter, and its time over several goes."""

import pytest

pytest.importorskip("peft", reason="training is NOT TESTED: the extra [hf] is not installed")

from llmrec_prompt.adapt import Recipe
from llmrec_prompt.adapt.runs import Clock, check, claim
from llmrec_prompt.adapters import Card
from llmrec_prompt.errors import AdapterError, ConfigError, DataError

from .planted import plant, tiny_model


def stage(data, **changes):
    source = {"data": str(data), "test": 20, "validation": 8}
    changes = {"name": "one", "sources": [source], "steps": 2, "evaluate_every": 2, **changes}
    return {"history": 4, "batch": 4, **changes}


def train(folder, tiny, *stages, **changes):
    from llmrec_prompt.adapt.stages import train as run

    recipe = {"base": f"hf:{tiny}", "precision": "fp32", "lora": {"r": 4, "alpha": 8}, **changes}
    plan = Recipe.parse({**recipe, "stages": list(stages)})
    return run(plan, out=folder / "adapters", runs=folder / "runs", resume=True)


def test_a_later_stage_is_not_found_finished_when_its_start_has_changed(tiny, ring, tmp_path):
    one, two = stage(ring), stage(ring, name="two")
    train(tmp_path, tiny, one, two)
    train(tmp_path, tiny, one, two)  # all there
    (tmp_path / "runs/one/recipe.json").unlink()
    (tmp_path / "runs/one/done.json").unlink()
    with pytest.raises(ConfigError, match="runs/two was trained with another start_hash"):
        train(tmp_path, tiny, {**one, "lr": 5e-3}, two)


def test_other_contents_under_the_same_name_are_another_run(ring, tmp_path):
    tiny, data = tiny_model(tmp_path / "model"), plant(tmp_path / "data")
    train(tmp_path, tiny, stage(data))
    interactions = (data / "interactions.csv").read_text()
    (data / "interactions.csv").write_text(interactions + "u0,i35,99\n")
    with pytest.raises(ConfigError, match="was trained with another data"):
        train(tmp_path, tiny, stage(data))
    (data / "interactions.csv").write_text(interactions)
    tiny_model(tmp_path / "model", seed=1)
    with pytest.raises(ConfigError, match="was trained with another base_hash"):
        train(tmp_path, tiny, stage(data))


def test_precision_counts_as_what_it_comes_to(tiny, ring, tmp_path):
    from llmrec_prompt.adapt.network import half

    train(tmp_path, tiny, stage(ring))
    if half("auto"):
        with pytest.raises(ConfigError, match="another precision"):
            train(tmp_path, tiny, stage(ring), precision="auto")
    else:
        train(tmp_path, tiny, stage(ring), precision="auto")
    with pytest.raises(ConfigError, match="another precision"):
        train(tmp_path, tiny, stage(ring), precision="bf16")


def test_a_run_is_gone_on_with_only_if_that_is_said(tmp_path):
    check(tmp_path, {"data": []}, resume=False)
    claim(tmp_path, {"data": []})
    check(tmp_path, {"data": []}, resume=True)
    with pytest.raises(ConfigError, match="Say --resume"):
        check(tmp_path, {"data": []}, resume=False)


def test_a_start_that_failed_leaves_the_folder_to_the_next_one(tiny, ring, tmp_path):
    nobody = [{"data": str(ring), "test": 60}]
    with pytest.raises(DataError, match="none is left"):
        train(tmp_path, tiny, stage(ring, sources=nobody))
    none = [{"data": str(ring), "test": 20, "validation": 8, "users": 0}]
    with pytest.raises(DataError, match="no history to train on"):
        train(tmp_path, tiny, stage(ring, sources=none))
    start = train(tmp_path / "start", tiny, stage(ring))[0].folder
    with pytest.raises(AdapterError, match="its r is 4"):
        train(tmp_path, tiny, stage(ring), lora={"r": 8, "alpha": 8}, start=str(start))
    assert train(tmp_path, tiny, stage(ring))[0].folder.is_dir()


def test_a_place_that_cannot_be_written_to_is_told_before_the_training(tiny, ring, tmp_path):
    (tmp_path / "adapters").write_text("")
    with pytest.raises(ConfigError, match=r"adapters is no folder\. Give another --out"):
        train(tmp_path, tiny, stage(ring))
    assert not (tmp_path / "runs").exists()


def test_the_time_of_interrupted_goes_is_kept(tmp_path):
    (tmp_path / "seconds.json").write_text("600.0")
    clock = Clock(tmp_path)
    assert 600 <= clock.keep() < 660
    later = Clock(tmp_path).keep()  # of the same go, begun when the other one was kept
    assert clock.keep() >= later >= 600


def test_a_card_tells_the_minutes_of_all_goes(tiny, ring, tmp_path):
    (tmp_path / "runs/one").mkdir(parents=True)
    (tmp_path / "runs/one/seconds.json").write_text("600.0")
    done = train(tmp_path, tiny, stage(ring))[0]
    assert 10 < done.minutes < 15
    assert Card.load(done.folder).minutes == done.minutes
