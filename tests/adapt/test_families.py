import pytest

torch = pytest.importorskip("torch", reason="training is NOT TESTED: the extra [hf] is not installed")
pytest.importorskip("peft", reason="training is NOT TESTED: the extra [hf] is not installed")

from llmrec_prompt.adapt import Recipe  # noqa: E402
from llmrec_prompt.adapters import Card, count_users, read_users, verify  # noqa: E402
from llmrec_prompt.templates import Prompter, load_domain  # noqa: E402

pytestmark = pytest.mark.hf


def train(tiny, data, folder, objective, **changes):
    from llmrec_prompt.adapt.stages import train as run

    source = {"data": str(data), "test": 20, "validation": 8}
    stage = {"name": "it", "objectives": {objective: 1}, "sources": [source], "history": 4, "batch": 4}
    stage |= {"steps": 4, "evaluate_every": 2, **changes}
    recipe = Recipe.parse({"base": f"hf:{tiny}", "precision": "fp32", "stages": [stage]})
    return run(recipe, out=folder / "adapters", runs=folder / "runs")[0]


@pytest.mark.parametrize(
    ("objective", "mode", "changes"),
    [
        ("next_item", "likelihood", {}),
        ("rank", "likelihood", {"candidates": 4}),
        ("yes_no", "yes_no", {"candidates": 2}),
        ("label", "label", {"candidates": 20}),
        ("predictive", "encoder", {}),
    ],
)
def test_a_trained_folder_says_what_it_serves(tiny, ring, tmp_path, objective, mode, changes):
    done = train(tiny, ring, tmp_path, objective, **changes)
    card = Card.load(done.folder)
    assert (card.objective, card.mode) == (objective, mode)
    assert card.templates == {"movies": Prompter(load_domain("movies")).fingerprint_for(mode)}
    assert (card.scale is None, card.popularity == {}) == ((mode != "encoder"),) * 2
    assert set(card.metrics["validation"]) >= {"ndcg@10", "ndcg@10 uniform", "ndcg@10 popular"}
    assert all(
        low <= card.metrics["validation"][name] <= high
        for name, (low, high) in card.metrics["interval"][card.data[0].name].items()
    )
    assert all(check.ok for check in verify(done.folder))
    assert count_users(read_users(done.folder)) == 40
    assert "nothing ranks with it" not in (done.folder / "README.md").read_text()


def test_a_catalogue_alone_keeps_the_last_weights_and_claims_nothing(tiny, bare, tmp_path):
    done = train(tiny, bare, tmp_path, "catalogue", patience=1)
    card = Card.load(done.folder)
    assert (done.metrics, card.metrics, card.popularity, card.mode) == ({}, {}, {}, "encoder")
    assert card.scale > 0
    assert card.data[0].users == 0
    assert all(check.ok for check in verify(done.folder))
    log = (tmp_path / "runs/it/log.jsonl").read_text()
    assert '"step": 4' in log
    assert "eval" not in log


def test_training_goes_on_from_an_adapter_of_another_objective(tiny, ring, bare, tmp_path):
    from llmrec_prompt.adapt.stages import train as run

    stages = [
        {"name": "texts", "objectives": {"catalogue": 1}, "sources": [{"data": str(bare)}], "publish": False},
        {"name": "told", "objectives": {"next_item": 1}, "sources": [{"data": str(ring), "test": 20}]},
        {"name": "users", "sources": [{"data": str(ring), "test": 20, "validation": 8}]},
    ]
    stages[1]["sources"][0]["validation"] = 8
    small = {"steps": 2, "evaluate_every": 1, "history": 3, "batch": 4}
    recipe = {"base": f"hf:{tiny}", "precision": "fp32", "stages": [stage | small for stage in stages]}
    done = run(Recipe.parse(recipe), out=tmp_path / "adapters", runs=tmp_path / "runs")
    cards = [Card.load(d.folder) for d in done]
    assert [c.mode for c in cards] == ["encoder", "likelihood", "encoder"]
    assert [p.name for p in cards[2].parents] == ["told"]
