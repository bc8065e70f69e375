"""A whole comparison on planted data: the source knows the structure, the target has a few users."""

import json

import numpy as np
import pytest

from llmrec_prompt.adapt.compare.suite import Suite
from llmrec_prompt.adapt.histories import Population
from llmrec_prompt.adapters import Card, find, overlap, read_users
from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.evaluate.protocols import Ask, make_exam

from ..noise import shuffled_numbers
from ..planted import plant

TEST, SHOTS = 20, 8
STAGE = {"history": 6, "lr": 8e-3, "batch": 8, "evaluate_every": 30}
UNSUPERVISED = ("predictive", "adversarial")
FAST = ("popularity", "popularity+embedding", "item-knn", "co-occurrence", "sasrec")
METHODS = (
    "base",
    "catalogue-only",
    "source-only",
    "target-only",
    "source+target",
    "composed",
    "embedding",
    *UNSUPERVISED,
    *FAST,
)


@pytest.fixture(scope="module")
def source(tiny, tmp_path_factory):
    """An adapter that learnt the structure of the target from other users, under other titles."""
    from llmrec_prompt.adapt import Recipe
    from llmrec_prompt.adapt.stages import train

    folder = tmp_path_factory.mktemp("source")
    data = plant(folder / "elsewhere", seed=5)
    stage = {"name": "elsewhere", "sources": [{"data": str(data), "test": 0, "validation": 8}], **STAGE}
    lora = {"r": 4, "alpha": 8}
    plan = {"base": f"hf:{tiny}", "precision": "fp32", "lora": lora, "stages": [{**stage, "steps": 180}]}
    made = train(Recipe.parse(plan), out=folder / "adapters", runs=folder / "runs")[0].folder
    shuffled_numbers(made, made.parent / "noise")
    return made


def suite(tiny, ring, source, **changes):
    values = {"name": "toy", "data": str(ring), "model": f"hf:{tiny}", "sources": [str(source)]}
    values |= {"methods": METHODS, "shots": [0, SHOTS], "test": TEST, "validation": 8, "precision": "fp32"}
    values |= {"embedder": "backend", "stage": {**STAGE, "steps": 30}, "steps": {SHOTS: 60}}
    values |= {"composed": {"of": [str(source), str(source.parent / "noise")], "evaluations": 4}}
    values |= {"replay": [{"data": str(source.parents[1] / "elsewhere"), "test": 0, "weight": 0.5}]}
    return Suite.model_validate({**values, **changes})


def compare(*given, **options):
    from llmrec_prompt.adapt.compare import compare as run

    return run(*given, **options)


@pytest.fixture(scope="module")
def done(tiny, ring, source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "toy"
    return compare(suite(tiny, ring, source), out=folder), folder


def rows(folder):
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


def mean(report, method, shots, kind="uniform"):
    return report["results"][kind][method][str(shots)]["ndcg@10"]["mean"]


def test_every_method_has_a_row_where_it_can_be_fitted(done):
    report, folder = done
    for kind in ("uniform", "popular"):
        cells = {method: set(found) for method, found in report["results"][kind].items()}
        early = {"base", "catalogue-only", "source-only", "embedding", "composed"}
        assert cells == {m: {"0", "8"} if m in early else {"8"} for m in METHODS}
    assert len(rows(folder)) == 2 * (3 + 2 + 2 + 2 + len(UNSUPERVISED) + len(FAST))
    assert all(len(row["values"]["ndcg@10"]) == TEST for row in rows(folder))


def test_what_was_learnt_elsewhere_carries_over(done):
    report, _ = done
    assert mean(report, "base", 0) < 0.5  # chance is 0.227
    assert mean(report, "source-only", 0) > 0.8
    assert mean(report, "source+target", SHOTS) > 0.8
    assert mean(report, "composed", SHOTS) > 0.8
    weights = report["details"]["uniform"]["composed"]["8"]["parents"]
    assert weights["elsewhere"] > abs(weights["noise"])
    assert report["details"]["uniform"]["composed"]["0"]["parents"] == {"elsewhere": 0.5, "noise": 0.5}


def test_rows_say_what_popularity_weighed(done):
    report, folder = done
    card = Card.load(folder / "adapters/toy-target-8")
    for kind, methods in report["details"].items():
        assert methods["source-only"]["0"]["popularity"] == 0.0  # nobody's popularity is known
        assert methods["target-only"]["8"]["popularity"] == card.popularity[kind]
        assert methods["catalogue-only"]["8"]["popularity"] == 0.0


def test_the_tests_are_of_source_and_target_against_the_others(done):
    report, _ = done
    assert {(t["shots"], t["than"]) for t in report["tests"]} == {
        ("8", other) for other in ("target-only", "sasrec", "embedding")
    }
    assert all(t["p"] <= t["p_holm"] <= 1 for t in report["tests"])


def test_everybody_answers_the_questions_of_eval_run(done, ring):
    _, folder = done
    manifest = json.loads((folder / "manifest.json").read_text())
    for kind in ("uniform", "popular"):
        exam = make_exam(Dataset.load(ring), Ask(users=TEST, negatives=kind))
        assert manifest["exams"][kind] == exam.fingerprint


def test_popularity_is_that_of_the_shots_alone(done, tiny, ring, source):
    report, _ = done
    population = Population(suite(tiny, ring, source).target(SHOTS))
    known = population.dataset.only([*population.users, *population.validation])
    assert report["shots"]["8"] == {"users": 8, "validation": 8, "interactions": len(known.pairs()[0])}
    exam = make_exam(Dataset.load(ring), Ask(users=TEST))
    counts, lowest, highest = known.popularity(), [], []
    for q in exam.questions:
        (target,) = exam.targets[q.user]
        own = counts[known.index[target]]
        others = [counts[known.index[c.item_id]] for c in q.candidates if c.item_id != target]
        highest.append(gain(1 + sum(n > own for n in others)))  # ties broken in its favour
        lowest.append(gain(1 + sum(n >= own for n in others)))
    assert np.mean(lowest) - 1e-4 <= mean(report, "popularity", SHOTS) <= np.mean(highest) + 1e-4


def gain(rank):
    return 1 / np.log2(1 + rank) if rank <= 10 else 0.0


def test_no_adapter_of_the_run_saw_a_tested_user(done, ring):
    _, folder = done
    exam = make_exam(Dataset.load(ring), Ask(users=TEST))
    tested = [q.user for q in exam.questions]
    found = sorted(path.parent for path in (folder / "adapters").glob("*/card.yaml"))
    names = ["adversarial-8", "catalogue", "composed-0", "composed-8"]
    names += ["predictive-8", "source-target-8", "target-8"]
    assert [path.name for path in found] == [f"toy-{name}" for name in names]
    assert not any(overlap(path, Dataset.load(ring), tested) for path in found)
    assert Card.load(folder / "adapters/toy-source-target-8").parents[0].name == "elsewhere"
    assert not read_users(folder / "adapters/toy-catalogue")


def test_the_unsupervised_routes_are_given_no_labels_of_the_target_and_those_of_the_sources(done):
    for name in UNSUPERVISED:
        stage = Card.load(done[1] / f"adapters/toy-{name}-8").recipe["stages"][0]
        assert [(source["data"], source["labelled"]) for source in stage["sources"]] == [
            ("ring", False),
            ("elsewhere", True),
        ]
        assert stage["objectives"]["encode"] == 1


def test_a_domain_that_none_but_unlabelled_histories_were_of_is_said_in_the_card(
    tiny, ring, source, tmp_path
):
    few = {"methods": ["predictive"], "shots": [SHOTS], "replay": [], "composed": {}, "steps": {}}
    compare(suite(tiny, ring, source, **few, stage={**STAGE, "steps": 2}), out=tmp_path / "run")
    card = Card.load(tmp_path / f"run/adapters/toy-predictive-{SHOTS}")
    assert card.unlabelled == (*card.templates,)


def test_a_stopped_run_goes_on_without_training_again(done, tiny, ring, source):
    report, folder = done
    whole = (folder / "rows.jsonl").read_bytes()
    trained = (folder / "training/toy-target-8/done.json").stat().st_mtime_ns
    lines = whole.splitlines(keepends=True)
    (folder / "rows.jsonl").write_bytes(b"".join(lines[:-3]) + lines[-3][:40])  # killed while it wrote
    again = compare(suite(tiny, ring, source), out=folder, resume=True)
    assert again["results"] == report["results"]
    assert len(rows(folder)) == len(lines)
    assert (folder / "training/toy-target-8/done.json").stat().st_mtime_ns == trained


def test_a_run_is_not_mixed_with_another(done, tiny, ring, source):
    _, folder = done
    with pytest.raises(ConfigError, match="--resume"):
        compare(suite(tiny, ring, source), out=folder)
    with pytest.raises(ConfigError, match="was made with"):
        compare(suite(tiny, ring, source, seed=1), out=folder, resume=True)


def test_an_adapter_is_compared_alone(done):
    report, _ = done
    modes = {name: report["details"]["uniform"][name]["8"]["mode"] for name in METHODS if name not in FAST}
    assert modes.pop("embedding") == "embedding"
    assert set(modes.values()) == {"encoder"}  # also where it never learnt, as it could not in source-only


def test_more_draws_add_to_a_run(tiny, ring, source, tmp_path):
    few = {"methods": ["popularity", "item-knn", "embedding"], "replay": [], "composed": {}}
    one = compare(suite(tiny, ring, source, **few), out=tmp_path / "run")
    first = rows(tmp_path / "run")
    both = compare(suite(tiny, ring, source, **few, draws=2), out=tmp_path / "run", resume=True)
    assert rows(tmp_path / "run")[: len(first)] == first
    assert [row["draw"] for row in rows(tmp_path / "run")] == [0] * 6 + [1] * 4
    cells = both["details"]["popular"]
    assert {name: len(cells[name]["8"]["by_draw"]) for name in few["methods"]} == {
        "popularity": 2,
        "item-knn": 2,
        "embedding": 1,
    }
    each = cells["popularity"]["8"]["by_draw"]
    assert each[0] != each[1]
    assert each[0] == pytest.approx(mean(one, "popularity", 8, "popular"), abs=1e-4)
    assert mean(both, "popularity", 8, "popular") == pytest.approx(np.mean(each), abs=1e-4)
    assert compare(suite(tiny, ring, source, **few), out=tmp_path / "run", resume=True) == one


def test_more_methods_and_shots_add_to_a_run(tiny, ring, source, tmp_path):
    def run(methods, shots):
        few = {"methods": methods, "shots": shots, "replay": [], "composed": {}}
        return compare(suite(tiny, ring, source, **few), out=tmp_path / "run", resume=True)

    one = run(["popularity"], [8])
    first = rows(tmp_path / "run")
    wide = run(["embedding", "popularity"], [0, 8, 16])
    assert rows(tmp_path / "run")[: len(first)] == first
    assert len(rows(tmp_path / "run")) == 2 * (1 + 2)  # without shots there is no popularity
    assert list(wide["results"]["popular"]) == ["embedding", "popularity"]
    assert list(wide["results"]["popular"]["popularity"]) == ["8", "16"]
    assert run(["popularity"], [8]) == one


def test_more_shots_than_users_are_refused(tiny, ring, source, tmp_path):
    with pytest.raises(ConfigError, match="has 32 users beside"):
        compare(suite(tiny, ring, source, shots=[33]), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_source_that_saw_the_target_is_refused(done, tiny, ring, source, tmp_path):
    _, folder = done
    leaked = find(folder / "adapters/toy-target-8").folder
    with pytest.raises(ConfigError, match="saw 16 users of ring"):
        compare(suite(tiny, ring, leaked, composed={}), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
