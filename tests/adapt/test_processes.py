"""Training in two real processes, over gloo where there is no GPU."""

import json
import subprocess
import sys

import pytest
import yaml

from llmrec_prompt.adapt import Recipe
from llmrec_prompt.adapters import Card, verify
from llmrec_prompt.backends import load_backend
from llmrec_prompt.errors import ConfigError

from .test_end_to_end import hit_rate, recipe

pytest.importorskip("peft", reason="training is NOT TESTED: the extra [hf] is not installed")


def together(*command):
    """Run a module or script in two processes, as torchrun does."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launch += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
    return subprocess.run(
        [*launch, *map(str, command)], check=False, capture_output=True, text=True, timeout=400
    )


def train(tmp_path, plan):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(plan))
    places = ["--out", tmp_path / "adapters", "--runs", tmp_path / "runs", "--json"]
    return together("-m", "llmrec_prompt", "adapt", "train", path, *places)


def log_of(folder):
    return [json.loads(line) for line in (folder / "runs/ring/log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def pair(tiny, ring, tmp_path_factory):
    """Where two trained, half as many steps as one does in the end-to-end test, and what they said."""
    folder = tmp_path_factory.mktemp("pair")
    done = train(folder, recipe(tiny, ring, steps=60, evaluate_every=20))
    assert done.returncode == 0, done.stderr
    return folder, done


def test_two_processes_write_one_adapter_that_learnt(tiny, ring, pair, tmp_path):
    folder, done = pair
    (said,) = json.loads(done.stdout)  # one document: the second process is silent
    found = folder / "adapters/ring"
    card = Card.load(found)
    assert card.metrics["validation"] == said["metrics"]
    assert card.recipe["processes"] == 2
    backend = load_backend(f"hf:{tiny}")
    assert all(check.ok for check in verify(found, base_hash=backend.info.hash))
    assert hit_rate(tiny, ring, found, tmp_path / "after") > 0.8  # chance is 0.25


def test_the_log_is_that_of_one_training(pair):
    judged = [row["step"] for row in log_of(pair[0]) if "eval_ndcg@10" in row]
    assert judged == [20, 40, 60]


def test_what_two_began_is_not_gone_on_with_by_one(tiny, ring, pair):
    from llmrec_prompt.adapt.stages import train as run

    plan = Recipe.parse(recipe(tiny, ring, steps=60, evaluate_every=20))
    with pytest.raises(ConfigError, match="another processes"):
        run(plan, out=pair[0] / "adapters", runs=pair[0] / "runs", resume=True)


def test_what_the_first_process_cannot_do_ends_both(tiny, ring, pair):
    again = train(pair[0], recipe(tiny, ring, steps=60, evaluate_every=20))
    assert again.returncode
    assert "Say --resume" in again.stderr


SCRIPT = """
import json, sys
from pathlib import Path
import torch
from llmrec_prompt.adapt import Recipe, processes
from llmrec_prompt.adapt.building import build
from llmrec_prompt.adapt.trainer import run

recipe, out = Recipe.load(sys.argv[1]), Path(sys.argv[2])
processes.join()
torch.manual_seed(recipe.seed)
bench = processes.first_alone_first(lambda: build(recipe, recipe.stages[0], None))
seen, forward, judged = [], bench.course.module.forward, []
bench.course.module.forward = lambda lesson: (seen.append(lesson.step), forward(lesson))[1]

def judge():
    judged.append(len(seen))
    return {"ndcg@10": 0.5}

run(bench.course.module, bench.lessons, judge, recipe=recipe, stage=recipe.stages[0], folder=out)
learnt = {name: p.detach().flatten().tolist() for name, p in bench.network.trainable}
where = "first" if processes.is_first() else "second"
(out / f"{where}.json").write_text(json.dumps({"seen": seen, "judged": judged, "learnt": learnt}))
"""


def test_each_learns_from_lessons_of_its_own_and_both_have_the_same_weights(tiny, ring, tmp_path):
    paths = tmp_path / "script.py", tmp_path / "recipe.yaml", tmp_path / "run"
    paths[0].write_text(SCRIPT)
    paths[1].write_text(yaml.safe_dump(recipe(tiny, ring, steps=6, evaluate_every=3)))
    done = together(*paths)
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((paths[2] / f"{who}.json").read_text()) for who in ("first", "second"))
    assert (first["seen"], second["seen"]) == ([0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9, 11])
    assert (first["judged"], second["judged"]) == ([3, 6], [])
    assert first["learnt"] == second["learnt"]


@pytest.mark.parametrize("command", [["compare", "suite.yaml"], ["compose", "mix", "--of", "a"]])
def test_what_is_for_one_process_says_so(llmrec, monkeypatch, command):
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = llmrec("adapt", *command)
    assert done.code
    assert "one process" in done.err


@pytest.mark.parametrize("call", ["join", "refuse"])
def test_only_training_wants_torch(call):
    """Mixing adapters and comparing baselines go without; training says which extra is missing."""
    argument = "'adapt compose'" if call == "refuse" else ""
    code = "import sys; sys.modules['torch'] = None; from llmrec_prompt.adapt import processes as p; "
    code += f"p.{call}({argument})"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode == 0) == (call == "refuse"), done.stderr
    assert ("[train]" in done.stderr) == (call == "join")


def test_unused_gpus_are_told_of(monkeypatch):
    from llmrec_prompt.adapt import processes

    assert processes.unused(1) is None
    assert "--nproc-per-node 4" in processes.unused(4)
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert processes.unused(4) is None


def test_an_error_of_one_process_is_its_own():
    from llmrec_prompt.adapt import processes

    def fail():
        raise ConfigError("no")

    with pytest.raises(ConfigError):
        processes.by_first(fail)
