"""What a card says of a training that its recipe does not."""

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
