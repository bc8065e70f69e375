"""A whole adaptation on a small model: data, recipe, training, checks, swap, evaluation; a kill."""

import json
import signal
import subprocess
import sys
import time

import pytest
import yaml

from llmrec_prompt.adapt import Recipe
from llmrec_prompt.adapters import Card, find, overlap, read_users, verify
from llmrec_prompt.backends import load_backend
from llmrec_prompt.data import Dataset, leave_last_out
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.evaluate import Plan, evaluate
from llmrec_prompt.recommender import Recommender

USERS = 20


def recipe(tiny, data, **changes):
    stage = {"name": "ring", "sources": [{"data": str(data), "test": USERS, "validation": 8}]}
    stage |= {"steps": 120, "evaluate_every": 40, "history": 6, "lr": 5e-3, "batch": 8, **changes}
    return {"base": f"hf:{tiny}", "precision": "fp32", "lora": {"r": 8, "alpha": 16}, "stages": [stage]}


def trained(tiny, data, folder, **changes):
    from llmrec_prompt.adapt.stages import train

    plan = Recipe.parse(recipe(tiny, data, **changes))
    return train(plan, out=folder / "adapters", runs=folder / "runs")[0]


@pytest.fixture(scope="module")
def ring_adapter(tiny, ring, tmp_path_factory):
    return trained(tiny, ring, tmp_path_factory.mktemp("ring"))


def hit_rate(tiny, data, adapter, out):
    plan = Plan(
        data=str(data),
        users=USERS,
        candidates=20,
        rankers=("random", "encoder"),
        model=f"hf:{tiny}",
        adapter=adapter and str(adapter),
        popularity_weight=0.0,
        embedder="backend",
    )
    return evaluate(plan, out=out).rankers["encoder"]["hr@5"]["mean"]


def test_adaptation_raises_the_hit_rate_on_users_it_never_saw(tiny, ring, ring_adapter, tmp_path):
    before = hit_rate(tiny, ring, None, tmp_path / "before")
    after = hit_rate(tiny, ring, ring_adapter.folder, tmp_path / "after")
    assert before < 0.6  # chance is 0.25
    assert after > 0.8


def test_shuffled_targets_teach_nothing(tiny, ring, tmp_path):
    control = trained(tiny, ring, tmp_path, shuffle_targets=True)
    assert hit_rate(tiny, ring, control.folder, tmp_path / "control") < 0.6


def test_on_a_base_in_four_bits_training_goes_on_and_serves_the_whole_one(tiny, ring, ring_adapter, tmp_path):
    pytest.importorskip("bitsandbytes", reason="QLoRA is NOT TESTED: the extra [qlora] is not installed")
    from llmrec_prompt.adapt.stages import train

    plan = {**recipe(tiny, ring, steps=10, evaluate_every=10), "start": str(ring_adapter.folder)}
    plan["lora"]["quantise"] = True
    found = train(Recipe.parse(plan), out=tmp_path / "adapters", runs=tmp_path / "runs")[0]
    assert Card.load(found.folder).weights_hash != Card.load(ring_adapter.folder).weights_hash
    assert hit_rate(tiny, ring, found.folder, tmp_path / "after") > 0.8


def test_the_folder_is_sound_and_says_where_it_comes_from(tiny, ring, ring_adapter):
    card = Card.load(ring_adapter.folder)
    backend = load_backend(f"hf:{tiny}")
    assert all(check.ok for check in verify(ring_adapter.folder, base_hash=backend.info.hash))
    assert (card.mode, card.objective, card.domain, card.history) == ("encoder", "encode", "movies", 6)
    assert card.metrics["validation"] == pytest.approx(ring_adapter.metrics)
    assert card.data[0].licence == "CC0-1.0"
    assert set(card.popularity) == {"uniform", "popular", "catalogue"}
    assert str(ring.parent) not in (ring_adapter.folder / "card.yaml").read_text()
    assert (ring_adapter.folder / "curves.svg").read_text().lstrip().startswith("<?xml")


def test_no_tested_user_was_trained_on(tiny, ring, ring_adapter):
    tested = [case.user_id for case in leave_last_out(Dataset.load(ring), users=USERS, seed=0).cases]
    assert not overlap(ring_adapter.folder, Dataset.load(ring), tested)
    with pytest.raises(ConfigError, match="leak"):
        evaluate(
            Plan(
                data=str(ring),
                users=None,
                rankers=("encoder",),
                model=f"hf:{tiny}",
                adapter=str(ring_adapter.folder),
            ),
            out=ring_adapter.folder.parent / "leak",
        )


def test_swapping_to_the_adapter_and_back_changes_nothing(tiny, ring, ring_adapter):
    rec = Recommender(ring, model=f"hf:{tiny}", mode="encoder", embedder="backend")
    history = list(rec.dataset.history_items(rec.dataset.users[0]))
    cold = rec.recommend(history, k=5)
    rec.use(str(ring_adapter.folder))
    under = rec.recommend(history, k=5)
    rec.use(None)
    again = rec.recommend(history, k=5)
    assert [r.score for r in again.recommendations] == [r.score for r in cold.recommendations]
    assert under.provenance.adapter_hash
    assert under.ids != cold.ids


def test_found_by_name_in_a_folder_of_adapters(ring_adapter, monkeypatch):
    monkeypatch.setenv("LLMREC_ADAPTERS", str(ring_adapter.folder.parent))
    assert find("ring").folder.samefile(ring_adapter.folder)


def test_what_starts_from_an_adapter_inherits_its_users_and_licence(tiny, groups, ring_adapter, tmp_path):
    from llmrec_prompt.adapt.stages import train

    plan = Recipe.parse({**recipe(tiny, groups, name="second", steps=4), "start": str(ring_adapter.folder)})
    second = train(plan, out=tmp_path / "adapters", runs=tmp_path / "runs")[0]
    parent, card = Card.load(ring_adapter.folder), Card.load(second.folder)
    assert [(p.name, p.hash) for p in card.parents] == [("ring", parent.weights_hash)]
    assert read_users(second.folder) > read_users(ring_adapter.folder)
    assert card.licence == "CC0-1.0"
    assert card.weights_hash != parent.weights_hash


def log_of(folder):
    rows = [json.loads(line) for line in (folder / "runs/ring/log.jsonl").read_text().splitlines()]
    return [(row["step"], row["eval_ndcg@10"]) for row in rows if "eval_ndcg@10" in row]


def test_killed_and_resumed_it_ends_as_if_nothing_had_happened(tiny, ring, ring_adapter, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe(tiny, ring)))
    command = [sys.executable, "-m", "llmrec_prompt", "adapt", "train", str(path), "--resume"]
    command += ["--out", str(tmp_path / "adapters"), "--runs", str(tmp_path / "runs")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 400  # a busy machine is no defect
    try:
        while not list(tmp_path.glob("runs/ring/checkpoint-*/trainer_state.json")):
            assert process.poll() is None, "the training ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "adapters/ring").exists()
    subprocess.run(command, check=True, capture_output=True)
    whole = log_of(ring_adapter.folder.parents[1])
    assert log_of(tmp_path) == whole
    assert len(whole) == 3
    assert Card.load(tmp_path / "adapters/ring").weights_hash == Card.load(ring_adapter.folder).weights_hash


def test_a_run_is_not_mixed_with_another_recipe(tiny, ring, ring_adapter):
    from llmrec_prompt.adapt.stages import train

    folder = ring_adapter.folder.parents[1]
    for changes, message in (({}, "--resume"), ({"lr": 1e-3}, "another stage")):
        with pytest.raises(ConfigError, match=message):
            train(
                Recipe.parse(recipe(tiny, ring, **changes)),
                out=folder / "adapters",
                runs=folder / "runs",
                resume=bool(changes),
            )
