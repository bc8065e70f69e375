"""What a card says of a training that its recipe does not."""

import json
import os
import shutil
import stat

import pytest
import yaml

pytest.importorskip("peft", reason="training is NOT TESTED: the extra [hf] is not installed")

from llmrec_prompt.adapt import Recipe
from llmrec_prompt.adapters import Card, verify

from .planted import plant


def test_the_card_of_a_domain_says_its_language(tiny, tmp_path, monkeypatch):
    from llmrec_prompt.adapt.stages import train

    words = {"noun": "电影", "nouns": "电影", "person": "观众", "verb": "看过"}
    folder = tmp_path / "prompts" / "kino"
    folder.mkdir(parents=True)
    (folder / "domain.yaml").write_text(yaml.safe_dump({"name": "kino", "language": "zh", **words}))
    monkeypatch.chdir(tmp_path)
    source = {"data": str(plant(tmp_path / "data")), "domain": "kino", "test": 20, "validation": 8}
    stage = {"name": "k", "sources": [source], "steps": 1, "batch": 4}
    plan = Recipe.parse({"base": f"hf:{tiny}", "precision": "fp32", "stages": [stage]})
    done = train(plan, out=tmp_path / "adapters", runs=tmp_path / "runs")[0]
    assert Card.load(done.folder).language == "zh"
    assert [check.name for check in verify(done.folder) if not check.ok] == []


def test_no_path_of_the_machine_that_trained_is_published(tiny, tmp_path):
    """Nobody who reads a card shall learn whose folders its parts lay in; the base is found by its hash."""
    from llmrec_prompt.adapt.stages import train

    secret = tmp_path / "secret-client"
    shutil.copytree(tiny, secret / "model")
    source = {"data": str(plant(secret / "data")), "test": 20, "validation": 8}
    plan = {"base": f"hf:{secret / 'model'}/", "precision": "fp32"}
    for name, more in (("one", {}), ("two", {"start": str(tmp_path / "out" / "one")})):
        stage = {"name": name, "sources": [source], "steps": 1, "batch": 4}
        recipe = Recipe.parse(plan | more | {"stages": [stage]})
        done = train(recipe, out=tmp_path / "out", runs=tmp_path / "runs")[0]
        files = [path.read_bytes() for path in done.folder.iterdir()]
        assert not [found for found in files if b"secret-client" in found or bytes(tmp_path) in found]
        card = Card.load(done.folder)
        assert card.base.ref == card.recipe["base"] == "hf:model"
        assert (
            "model"
            in json.loads((done.folder / "adapter_config.json").read_text())["base_model_name_or_path"]
        )
    assert (card.recipe["start"], card.parents[0].name) == ("one", "one")
    assert all(check.ok for check in verify(done.folder, card.base.hash))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_all_files_of_an_adapter_follow_the_umask(tmp_path):
    from peft import LoraConfig, get_peft_model
    from torch import nn

    from llmrec_prompt.adapt.publish import write_weights

    made = get_peft_model(nn.Sequential(nn.Linear(4, 4)), LoraConfig(r=2, target_modules=["0"]))
    before = os.umask(0o027)
    try:
        write_weights(made, "base", tmp_path)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o640}
