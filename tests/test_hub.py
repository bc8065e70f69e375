"""From a hub on 127.0.0.1: a model is trained on and ranks, its adapter is downloaded and swapped in."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .adapt.planted import plant, tiny_model
from .hub import serving_hub
from .hub_user import OFFLINE

pytest.importorskip("peft", reason="the hub is NOT TESTED: the extra [train] is not installed")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """What lies there: a model, with pickles, other weights and code beside it; one in pickles only."""
    root = tmp_path_factory.mktemp("hub")
    model = tiny_model(root / "someone" / "tiny")
    (model / "modeling_tiny.py").write_text("raise SystemExit('code was run')\n")
    (model / "pytorch_model.bin").write_bytes(b"a pickle")
    shutil.copytree(model, root / "someone" / "pickled")
    (root / "someone" / "pickled" / "model.safetensors").unlink()
    (model / "consolidated.safetensors").write_bytes(b"the same weights again")
    with serving_hub(root) as server:
        yield server


@pytest.fixture(scope="module")
def told(hub, tmp_path_factory):
    """What a fresh process found, with the hub at this address: huggingface_hub reads that at its import."""
    folder = tmp_path_factory.mktemp("own")
    plant(folder / "ring")
    own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "hf"), "LLMREC_CACHE": str(folder / "cache")}
    without = ("LLMREC_OFFLINE", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN")
    environment = {k: v for k, v in os.environ.items() if k not in without}
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "tests.hub_user", str(hub.root), str(folder)],
        env=environment | own | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_an_adapter_trained_on_a_model_of_the_hub_serves_from_the_hub(told):
    bare, under = told["bare"], told["under"]
    assert (bare["adapter"], under["adapter"]) == ("", "ring")
    assert under["model_hash"] == bare["model_hash"]
    assert under["adapter_hash"]


def test_the_same_files_on_disk_are_the_same_model(told):
    assert told["local_hash"] == told["bare"]["model_hash"]


def test_no_pickle_no_code_and_no_second_copy_of_weights_is_fetched(told, hub):
    assert "model.safetensors" in hub.files
    assert "card.yaml" in hub.files
    unwanted = {"pytorch_model.bin", "consolidated.safetensors", "modeling_tiny.py", "curves.svg"}
    assert hub.files.isdisjoint(unwanted)


def test_offline_what_was_downloaded_serves_and_nobody_is_asked(told, hub):
    assert told["offline_hash"] == told["bare"]["model_hash"]
    assert hub.seen[-1] == ("GET", OFFLINE)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("none", "Cannot get model 'someone/none' from the hub"),
        ("tiny@v9", "Cannot get model 'someone/tiny@v9' from the hub"),
        ("pickled", "safetensors"),
        ("offline", "LLMREC_OFFLINE is set"),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(told, what, message):
    assert message in told["errors"][what]
    assert "\n" not in told["errors"][what]
