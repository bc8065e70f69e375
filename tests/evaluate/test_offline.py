import json

import pytest

from llmrec_prompt import Dataset, Interaction, Item, Recommender
from llmrec_prompt.adapters import user_hash, write_users
from llmrec_prompt.backends import load_backend
from llmrec_prompt.data import Cleaning, write_two_file
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.evaluate import Plan, evaluate
from llmrec_prompt.evaluate.offline import answer_all, build, make_manifest, make_recommender
from llmrec_prompt.evaluate.protocols import make_exam
from llmrec_prompt.evaluate.run import RunDirectory
from llmrec_prompt.rank.encoder import ELSEWHERE_NEAR, ELSEWHERE_SCALE
from llmrec_prompt.templates import Prompter, load_domain

from ..rank.toys import adapter_folder

MODEL = "fake:overlap"
WORDS = ("red", "green", "blue", "old", "new", "big")


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LLMREC_ADAPTERS", str(tmp_path / "adapters"))


@pytest.fixture
def shop(tmp_path):
    items = [Item(item_id=f"i{n}", title=f"{a} {b}") for n, (a, b) in enumerate(
        (a, b) for a in WORDS for b in ("cup", "lamp", "chair", "door", "roof"))]  # fmt: skip
    rows = [Interaction(f"u{u}", f"i{(7 * u + n) % 30}", None, n) for u in range(12) for n in range(4)]
    folder = tmp_path / "shop"
    write_two_file(Dataset.from_rows(items, rows, name="shop", domain="shopping"), folder)
    return str(folder)


@pytest.fixture
def cups(tmp_path, shop):
    """An encoder adapter for the shop."""
    dataset = Dataset.load(shop)
    return adapter_folder(
        tmp_path / "adapters",
        name="cups",
        domain="shopping",
        base={"ref": MODEL, "hash": load_backend(MODEL).info.hash},
        templates={"shopping": Prompter(load_domain("shopping"), catalogue=dataset.items).fingerprint},
        popularity={"catalogue": 9.0, "uniform": 0.5, "popular": 0.0},
    )


def run(shop, out, **options):
    plan = Plan(
        **{"data": shop, "users": 8, "candidates": 6, "model": MODEL, "embedder": "backend", **options}
    )
    report = evaluate(plan, out=out)
    return report, json.loads((out / "manifest.json").read_text())


def test_without_an_adapter_the_encoder_stands_untrained(shop, tmp_path):
    report, manifest = run(shop, tmp_path / "run", rankers=("encoder", "random"))
    assert set(report.rankers) == {"encoder", "random"}
    assert report.costs["encoder"]["tokens_per_user"] == 0  # a fake embeds for nothing
    facts = {"popularity": 0.0, "task": "uniform", "centred": True, "untrained": True}
    assert manifest["encoder"] == facts | {"scale": ELSEWHERE_SCALE, "near": ELSEWHERE_NEAR}
    assert not {"adapter_hash", "adapter_name", "auto"} & set(manifest)


@pytest.mark.parametrize(
    ("options", "task", "weight"),
    [
        ({}, "uniform", 0.5),
        ({"negatives": "popular"}, "popular", 0.0),
        ({"negatives": "popular", "popularity_weight": 1.5}, "popular", 1.5),
    ],
)
def test_the_popularity_weight_is_that_of_the_negatives(shop, cups, tmp_path, options, task, weight):
    report, manifest = run(shop, tmp_path / "run", adapter="shopping", rankers=("auto", "fused"), **options)
    assert set(report.rankers) == {"auto", "fused"}
    assert manifest["auto"] == "encoder"
    assert manifest["encoder"] == {"scale": 8.0, "popularity": weight, "task": task}
    assert manifest["adapter_name"] == "cups"
    assert len(manifest["adapter_hash"]) == 16
    assert set(manifest["weights"]) == {"encoder", "embedding", "co-occurrence"}


def test_learnt_weights_stand_in_the_manifest(shop, tmp_path):
    _, manifest = run(shop, tmp_path / "run", rankers=("stacked", "random"))
    assert manifest["learnt"].keys() <= manifest["weights"].keys()
    assert manifest["learnt"] != manifest["weights"]
    _, manifest = run(shop, tmp_path / "other", rankers=("fused", "random"))
    assert "learnt" not in manifest


def test_given_negatives_count_as_the_catalogue(shop, cups, tmp_path):
    file = tmp_path / "candidates.tsv"
    file.write_text("u1\ti0 i1 i2 i3\nu2\ti5 i6 i20 i21\n")
    _, manifest = run(shop, tmp_path / "run", adapter="cups", negatives=str(file), rankers=("encoder",))
    assert manifest["encoder"] == {"scale": 8.0, "popularity": 9.0, "task": "catalogue"}


def test_a_run_is_not_mixed_with_another_adapters(shop, cups, tmp_path):
    run(shop, tmp_path / "run", adapter="cups", rankers=("encoder",))
    (tmp_path / "adapters" / "cups" / "adapter_model.safetensors").write_text("trained on")
    with pytest.raises(ConfigError, match="was made with adapter_hash"):
        run(shop, tmp_path / "run", adapter="cups", rankers=("encoder",))


def test_users_that_were_trained_on_are_not_tested(shop, cups, tmp_path):
    write_users(cups, [user_hash("shop", f"u{n}") for n in (0, 1)] + [user_hash("other", "u5")])
    with pytest.raises(ConfigError, match="'cups' was trained on 2 of the 12 users to be tested"):
        run(shop, tmp_path / "run", adapter="cups", users=None, rankers=("encoder",))
    assert not (tmp_path / "run").exists()
    write_users(cups, [user_hash("other", "u5")])
    report, _ = run(shop, tmp_path / "run", adapter="cups", users=None, rankers=("encoder",))
    assert report.facts["users"] == 12


def prepared(plan, dataset):
    """What `evaluate` makes before it asks."""
    exam = make_exam(dataset, plan.ask)
    recommender = make_recommender(plan, exam)
    return exam, recommender, build(recommender, plan.rankers)[0]


def manifest_of(plan, dataset):
    return make_manifest(plan, *prepared(plan, dataset))


def dated(moments, *more):
    items = [Item(item_id=f"i{n}", title=f"thing {n}") for n in range(31)]
    rows = [
        Interaction(f"u{u}", f"i{(7 * u + n) % 30}", 5, moments(u, n)) for u in range(12) for n in range(6)
    ]
    liked = Cleaning(preference=3)
    return Dataset.from_rows(items, [*rows, *more], name="shop", domain="shopping", cleaning=liked)


def plan_of(**options):
    return Plan(**{"data": "shop", "users": 8, "candidates": 6, "model": MODEL, **options})


def test_what_recency_reads_is_in_the_manifest():
    asked = plan_of(rankers=("recency",))
    one = manifest_of(asked, dated(lambda u, n: 86_400 * n))
    other = manifest_of(asked, dated(lambda u, n: 86_400_000 * n))
    assert {key for key in one if one[key] != other[key]} == {"times"}


def test_who_met_what_without_liking_it_is_in_the_manifest():
    one, other = (
        manifest_of(plan_of(rankers=("fused",), embedder="backend"), dated(lambda u, n: n, low))
        for low in (Interaction("u3", item_id, 1, 9) for item_id in ("i0", "i30"))
    )
    assert one["data_fingerprint"] == other["data_fingerprint"]
    assert one["met"] != other["met"]


@pytest.mark.parametrize("rankers", [("embedding",), ("fused",), ("bm25+embedding",)])
def test_what_embeds_is_in_the_manifest(rankers):
    data = dated(lambda u, n: n)
    found = manifest_of(plan_of(rankers=rankers, embedder="backend"), data)
    assert load_backend(MODEL).info.hash in found["embeds_with"]
    other = manifest_of(plan_of(rankers=rankers, embedder="backend", model="fake:random"), data)
    assert other["embeds_with"] != found["embeds_with"]
    assert "embeds_with" not in manifest_of(plan_of(rankers=("bm25",), embedder="backend"), data)


def test_engine_and_code_are_in_the_manifest():
    found = manifest_of(plan_of(rankers=("likelihood", "label")), dated(lambda u, n: n))
    info = load_backend(MODEL).info
    assert (found["engine"], found["model_hash"]) == ([info.engine, info.context], info.hash)
    assert len(found["code"]) == 16
    assert "engine" not in manifest_of(plan_of(rankers=("random",)), dated(lambda u, n: n))


@pytest.mark.parametrize("name", ["spent.jsonl", "rows.jsonl"])
def test_a_half_written_line_does_not_end_a_run(shop, tmp_path, name):
    asked = plan_of(data=shop, rankers=("random",))
    whole = evaluate(asked, out=tmp_path / "run")
    with (tmp_path / "run" / name).open("ab") as file:
        file.write(b'{"ranker": "ran')
    assert evaluate(asked, out=tmp_path / "run", resume=True).rankers == whole.rankers


class Stops:
    """A ranker who is stopped at a question, as by Ctrl-C."""

    def __init__(self, ranker, at):
        self._ranker, self._left = ranker, at
        self.name, self.origin = ranker.name, ranker.origin

    def score(self, history, candidates):
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return self._ranker.score(history, candidates)

    def prepare(self, candidates):
        self._ranker.prepare(candidates)


def test_what_was_answered_before_ctrl_c_is_kept(tmp_path):
    exam, recommender, rankers = prepared(plan_of(rankers=("likelihood",)), dated(lambda u, n: n))

    def answers(name, at):
        run = RunDirectory.start(tmp_path / name, {"x": 1}, resume=False)
        answer_all(exam, recommender, {"likelihood": Stops(rankers["likelihood"], at)}, run)
        return list(run.rows())

    with pytest.raises(KeyboardInterrupt):
        answers("stopped", 5)
    assert sum(row.get("cached", False) for row in answers("whole", 8)) == 5


def test_a_whole_catalogue_is_ranked_as_recommend_does(shop, tmp_path):
    options = {"rankers": ("likelihood", "popularity"), "negatives": "full", "users": 4}
    report, manifest = run(shop, tmp_path / "run", retrieve=5, **options)
    assert manifest["retrieve"] == 5
    assert report.events["likelihood"]["not_retrieved"] == 4 * (27 - 5)  # of 30 each has three others
    assert "not_retrieved" not in report.events["popularity"]
    row = json.loads((tmp_path / "run" / "rows.jsonl").read_text().splitlines()[0])
    exam = make_exam(Dataset.load(shop), Plan(data=shop, users=4, negatives="full").ask)
    history = [item.item_id for item in exam.questions[0].history]
    rec = Recommender(exam.train, model=MODEL, mode="likelihood", embedder="backend", candidates=5)
    assert row["ids"][:5] == list(rec.recommend(history, k=5).ids)
    _, whole = run(shop, tmp_path / "whole", **options)
    assert "retrieve" not in whole


def test_retrieval_is_for_the_whole_catalogue(shop, tmp_path):
    for wrong in ({"retrieve": 5}, {"retrieve": 0, "negatives": "full"}):
        with pytest.raises(ConfigError, match="--negatives full"):
            run(shop, tmp_path / "run", **wrong)
