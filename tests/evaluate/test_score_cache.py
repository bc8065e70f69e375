from dataclasses import replace

import numpy as np
import pytest

from llmrec_prompt import Dataset, Recommender
from llmrec_prompt.backends import load_backend
from llmrec_prompt.cache import NumberStore
from llmrec_prompt.errors import DataError
from llmrec_prompt.evaluate import evaluate
from llmrec_prompt.evaluate.run import read_lines
from llmrec_prompt.evaluate.score_cache import CachedRanker, ScoreStore, cached, identity_of, pack, unpack
from llmrec_prompt.templates import Prompter, load_domain
from llmrec_prompt.types import Scored

from ..rank.toys import adapter_folder
from .shops import Hand, plan, shop


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path / "cache"))


def store():
    return ScoreStore(NumberStore(None, dtype="u1"))


def test_a_packed_answer_is_the_same_to_the_last_bit():
    scored = Scored(
        {"a": np.array([0.1, -1e300, 3.0]), "b": np.array([1.0, 2.0, 1 / 3])}, {"a": 0.1, "b": 1 / 3},
        offset=1e-17, events={"cut": 2}, settings={"a": {"weight": 1.0}, "shown": 3},
    )  # fmt: skip
    found = unpack(pack(scored))
    assert {name: part.tolist() for name, part in found.parts.items()} == {
        name: part.tolist() for name, part in scored.parts.items()
    }
    assert (found.weights, found.offset, found.events, found.settings) == (
        scored.weights, scored.offset, scored.events, scored.settings,
    )  # fmt: skip


def test_masks_of_a_fusion_are_masks_again():
    mask = np.array([True, False, True])
    scored = Scored({"a": np.array([0.5, 0.5, 0.5])}, {"a": 1.0}, stand_ins={"a": mask})
    found = unpack(pack(scored)).stand_ins["a"]
    assert (found.dtype, found.tolist()) == (bool, [True, False, True])


def test_what_was_asked_is_not_asked_again(data):
    items, asked = Dataset.load(data).items, []

    def count(history, candidates):
        asked.append(1)
        if not history:
            raise DataError("empty")
        return np.arange(len(candidates))

    kept = store()
    ranker = CachedRanker(Hand(count), "x", kept)
    first, again = (ranker.score(items[:2], items[5:9]) for _ in range(2))
    assert (len(asked), first.settings.get("cached"), again.settings["cached"]) == (1, None, True)
    assert first.parts["hand"].tolist() == again.parts["hand"].tolist()
    ranker.score(items[:2], items[8:4:-1])
    ranker.score(items[1::-1], items[5:9])
    CachedRanker(Hand(count), "another", kept).score(items[:2], items[5:9])
    assert len(asked) == 4
    for _ in range(2):
        with pytest.raises(DataError):
            ranker.score((), items[5:9])
    assert len(asked) == 6


def test_what_took_long_is_written_at_once_and_the_rest_at_the_end(tmp_path, monkeypatch):
    scored = Scored({"a": np.array([0.5])}, {"a": 1.0})

    def on_disk(key):
        return NumberStore(tmp_path / "s.sqlite", dtype="u1").get([key])

    kept = ScoreStore(NumberStore(tmp_path / "s.sqlite", dtype="u1"))
    kept.put("quick", scored)
    assert not on_disk("quick")
    assert kept.get("quick").parts["a"].tolist() == [0.5]
    monkeypatch.setattr("llmrec_prompt.evaluate.score_cache.LATEST_S", 0.0)
    kept.put("slow", scored)
    assert on_disk("quick")
    assert on_disk("slow")
    monkeypatch.undo()
    kept.put("last", scored)
    kept.close()
    assert on_disk("last")


def test_everything_that_could_change_a_score_changes_the_identity(data, tmp_path):
    dataset = Dataset.load(data)
    other = dataset.without([("u0", "i0")])

    def identity(mode="likelihood", dataset=dataset, model="fake:overlap", **settings):
        recommender = Recommender(dataset, model=model, embedder="backend", **settings)
        return identity_of(recommender.ranker_of(mode), recommender)

    base = identity()
    assert base == identity()
    assert base == identity(dataset=other), "likelihood reads no logs"
    assert base != identity(calibration="users")
    assert identity(calibration="users") != identity(calibration="users", dataset=other)
    assert identity("fused") != identity("fused", dataset=other)
    assert identity("encoder") == identity("encoder", dataset=other)
    weighted = {"popularity_weight": 1.0}
    assert identity("encoder", **weighted) != identity("encoder", dataset=other, **weighted)
    different = [
        base, identity("fused"), identity("encoder"), identity(model="fake:random"), identity(seed=1),
        identity(prior_weight=0.5), identity(language="zh"), identity(domain="movies"),
        identity("fused", weights={"likelihood": 1.0, "popularity": 2.0}),
    ]  # fmt: skip
    assert len(set(different)) == len(different)


def test_what_parts_and_cards_and_clocks_say_is_in_the_identity(data, tmp_path):
    """A sum keeps its answers under all that its parts follow, not under its name."""
    dataset = Dataset.load(data)
    likes = [like for user in dataset.users for like in dataset.history(user)]
    later = [replace(like, timestamp=3 * like.timestamp) for like in likes]
    later = Dataset.from_rows(dataset.items, later, name="shop", domain="shopping")

    def of(mode, dataset, **settings):
        recommender = Recommender(dataset, model="fake:overlap", embedder="backend", **settings)
        return identity_of(recommender.ranker_of(mode), recommender)

    assert later.fingerprint == dataset.fingerprint
    assert of("likelihood+recency", dataset) != of("likelihood+recency", later)
    assert of("likelihood", dataset) == of("likelihood", later)
    facts = {
        "domain": "shopping", "base": {"ref": "fake:overlap", "hash": load_backend("fake:overlap").info.hash},
        "templates": {"shopping": Prompter(load_domain("shopping"), catalogue=dataset.items).fingerprint},
    }  # fmt: skip
    found = set()
    for n, more in enumerate([{}, {"history": 3}, {"popularity": {"catalogue": 9.0}}, {"centred": True}]):
        folder = adapter_folder(tmp_path / str(n), **facts, **more)
        found.add(of("encoder+bm25", dataset, adapter=folder))
    assert len(found) == 4
    recommender = Recommender(dataset, model="fake:overlap", embedder="backend")
    fused = recommender.ranker_of("likelihood+embedding")
    assert recommender.ranker_of("embedding").settings["embedder"] in identity_of(fused, recommender)


def test_only_rankers_with_a_model_are_kept(data):
    recommender = Recommender(data, model="fake:overlap", embedder="backend")
    for name in ("popularity", "bm25", "random"):
        ranker = recommender.ranker_of(name)
        assert cached(ranker, recommender, store()) is ranker
    assert isinstance(cached(recommender.ranker_of("likelihood"), recommender, store()), CachedRanker)


def test_an_overlapping_run_pays_for_what_is_new_and_says_so(data, tmp_path):
    first = evaluate(plan(data, rankers=("likelihood", "fused")), out=tmp_path / "a")
    assert first.costs["likelihood"]["computed"] == 8
    more = evaluate(plan(data, rankers=("likelihood",), users=12), out=tmp_path / "b")
    assert (more.costs["likelihood"]["computed"], more.costs["likelihood"]["from_cache"]) == (4, 8)
    again = evaluate(plan(data, rankers=("likelihood", "fused")), out=tmp_path / "c")
    for name in ("likelihood", "fused"):
        assert again.costs[name] | {"computed": 0, "from_cache": 8} == again.costs[name]
    assert again.lasting() == first.lasting()
    rows = [list(read_lines(tmp_path / run / "rows.jsonl")) for run in "ac"]
    assert [row["ids"] for row in rows[0]] == [row["ids"] for row in rows[1]]
    assert all(row["cached"] for row in rows[1])
