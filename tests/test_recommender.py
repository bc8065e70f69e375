import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from llmrec_prompt import Dataset, Interaction, Item, Recommender
from llmrec_prompt.backends.fake import FakeBackend
from llmrec_prompt.errors import ConfigError, DataError, UnknownName
from llmrec_prompt.rank import WEIGHTS, WITHOUT_LOGS
from llmrec_prompt.rank.encoder import ELSEWHERE_SCALE

from .rank.toys import adapter_folder


def shop(logs=True):
    items = [Item(item_id=f"i{n}", title=f"{colour} {thing}") for n, (colour, thing) in enumerate(
        (c, t) for c in ("red", "green", "blue") for t in ("cup", "plate", "lamp", "chair")
    )]  # fmt: skip
    rows = [Interaction(f"u{u}", f"i{(u + step) % 12}", None, step) for u in range(6) for step in range(4)]
    return Dataset.from_rows(items, rows if logs else (), name="shop", domain="shopping")


@pytest.fixture
def rec():
    return Recommender(shop(), model=FakeBackend.from_name("overlap"), embedder="backend", candidates=5)


def test_everything_of_a_ranking_is_there(rec):
    ranking = rec.recommend(["red cup", "i4"], k=3, explain=True)
    assert [line.rank for line in ranking.recommendations] == [1, 2, 3]
    origin = ranking.provenance
    assert origin.candidates == 5
    assert origin.mode == "fused"
    assert origin.domain == "shopping"
    assert origin.model == "fake:overlap"
    assert len(origin.template_fingerprint) == 16
    assert set(origin.weights) == {"likelihood", "embedding", "popularity", "co-occurrence"}
    assert json.loads(ranking.model_dump_json())["recommendations"][0]["rank"] == 1


def test_consumed_items_are_left_out_unless_asked_for(rec):
    user = "u0"
    consumed = rec.dataset.consumed(user)
    assert not consumed & set(rec.recommend(user=user, k=12).ids)
    wide = Recommender(shop(), model="fake:overlap", embedder="backend", exclude_consumed=False)
    assert consumed <= set(wide.recommend(user=user, k=12).ids)
    assert not consumed & set(wide.recommend(user=user, k=12, exclude_consumed=True).ids)


def test_rank_keeps_every_candidate_and_ignores_their_order(rec):
    one = rec.rank(["red cup"], candidates=["blue lamp", "green cup", "red chair"])
    two = rec.rank(["red cup"], candidates=["red chair", "blue lamp", "green cup"])
    assert one.ids == two.ids
    assert len(one.ids) == 3


def test_titles_ids_and_items_mean_the_same(rec):
    by_title = rec.rank(["red cup"], candidates=["i1", "i2"])
    by_id = rec.rank(["i0"], candidates=["i1", "i2"])
    by_item = rec.rank([rec.dataset.item("i0")], candidates=[rec.dataset.item("i1"), "red lamp"])
    assert by_title.recommendations == by_id.recommendations == by_item.recommendations


def test_cold_domain_has_no_popularity(rec):
    cold = Recommender(shop(logs=False), model="fake:overlap", embedder="backend")
    assert set(cold.recommend(["red cup"]).provenance.weights) == set(WITHOUT_LOGS)


def test_a_title_from_nowhere_is_used_as_typed_and_counted(rec):
    ranking = rec.recommend(["something never sold here", "red cup"], k=2)
    assert ranking.provenance.events["typed_as_is"] == 1
    assert "something never sold here" in rec.prompt(["something never sold here"]).text


def test_k_wins_over_the_number_of_candidates(rec):
    assert len(rec.recommend(["red cup"], k=9).recommendations) == 9


def test_a_baseline_recommends_its_own_first(rec):
    history = ["red cup", "red plate"]
    own = Recommender(shop(), mode="item-knn", candidates=2, embedder="backend", model="fake:overlap")
    others = [item for item in own.dataset.items if item.title not in history]
    assert own.recommend(history, k=5).ids == own.rank(history, candidates=others).ids[:5]


def test_a_text_that_is_like_a_title_is_taken_for_it_in_a_history_and_counted(rec):
    assert rec.recommend(["red cupp"], k=2).provenance.events["near_match"] == 1
    assert "near_match" not in rec.recommend(["Red Cup"], k=2).provenance.events


def test_a_candidate_is_never_taken_for_another_item():
    """An "Aliens" that the catalogue lacks is not its "Alien"."""
    rec = Recommender(shop(), model="fake:overlap", mode="likelihood")
    ranking = rec.rank(["red cup"], candidates=["red cups", "red plate"])
    assert {line.title for line in ranking.recommendations} == {"red cups", "red plate"}
    assert ranking.provenance.events["typed_as_is"] == 1
    with pytest.raises(DataError, match="'red cups' is not in the catalogue"):
        Recommender(shop(), mode="popularity").rank(["red cup"], candidates=["red cups", "red plate"])


def test_a_text_in_place_of_a_list_is_an_error(rec):
    with pytest.raises(DataError, match="history is the text 'red cup'; give a list"):
        rec.recommend("red cup")
    with pytest.raises(DataError, match="candidates is the text 'i2'"):
        rec.rank(["red cup"], candidates="i2")
    with pytest.raises(DataError, match=r"history has 1\.5"):
        rec.recommend([1.5])


def test_numbers_of_a_table_are_ids():
    rows = [Interaction(7, n, None, n) for n in (1, 2)]
    numbered = Dataset.from_rows([{"item_id": n, "title": f"thing {n}"} for n in range(1, 6)], rows)
    rec = Recommender(numbered, mode="popularity")
    assert rec.recommend(user=7, k=1).ids == rec.recommend(user="7", k=1).ids
    assert rec.recommend([1, 2], k=1).ids == rec.recommend(["1", "2"], k=1).ids
    assert rec.recommend(np.array([1, 2]), k=1).ids == rec.recommend(["1", "2"], k=1).ids
    assert rec.recommend((n for n in "12"), k=1).ids == rec.recommend(["1", "2"], k=1).ids
    with pytest.raises(DataError, match="history has True"):
        rec.recommend([True])


def test_model_is_loaded_only_when_a_mode_needs_it():
    rec = Recommender(shop(), model="llama:/no/such/file.gguf", mode="popularity", embedder="backend")
    assert len(rec.rank(["red cup"], candidates=["i1", "i2"]).ids) == 2


@pytest.fixture
def adapters(tmp_path, monkeypatch):
    """An encoder adapter for the shop, and one for books, which saw no prompt of a shop."""
    monkeypatch.setenv("LLMREC_ADAPTERS", str(tmp_path))
    rec = Recommender(shop(), model="fake:overlap")
    base = {"ref": "fake:overlap", "hash": rec.backend.info.hash}
    prompts = {"shopping": rec.prompter.fingerprint}
    popularity = {"catalogue": 0.5, "uniform": 2.0}
    adapter_folder(
        tmp_path, name="cups", domain="shopping", base=base, templates=prompts, popularity=popularity
    )
    adapter_folder(tmp_path, name="novels", domain="books", base=base, templates={}, scale=3.0)
    return tmp_path


def test_use_swaps_the_adapter_on_the_same_model(rec, adapters):
    backend = rec.backend
    rec.use("cups")
    assert rec.rank(["red cup"], candidates=["i1", "i2"]).provenance.adapter == "cups"
    assert rec.backend is backend
    assert rec.backend.adapter == str(adapters / "cups")
    rec.use(None)
    assert rec.backend is backend
    assert rec.backend.adapter is None
    assert rec.rank(["red cup"], candidates=["i1", "i2"]).provenance.adapter == ""


def test_the_mode_is_the_adapters(rec, adapters):
    assert rec.rank(["red cup"], candidates=["i1", "i2"]).provenance.mode == "fused"
    rec.use("cups")
    assert rec.rank(["red cup"], candidates=["i1", "i2"]).provenance.mode == "encoder"
    rec.use("books")
    said = rec.rank(["red cup"], candidates=["i1", "i2"]).provenance
    assert (said.mode, said.adapter, said.events["adapter_foreign_domain"]) == ("fused", "novels", 1)
    assert said.settings["encoder"]["weight"] == WEIGHTS["likelihood"]
    rec.mode = "encoder"
    said = rec.rank(["red cup"], candidates=["i1", "i2"]).provenance
    assert (said.weights["encoder"], said.events["adapter_foreign_domain"]) == (ELSEWHERE_SCALE, 1)
    plain = Recommender(shop(), model="fake:overlap", adapter="books", mode="likelihood", embedder="backend")
    assert plain.rank(["red cup"], candidates=["i1", "i2"]).provenance.mode == "likelihood"


def test_an_encoder_scores_the_whole_catalogue(rec, adapters):
    rec.use("cups")
    ranking = rec.recommend(["red cup", "i4"], k=3, explain=True)
    said = ranking.provenance
    assert said.candidates == 10  # twelve without the two consumed; retrieval would hand on five
    assert said.weights == {"encoder": 8.0, "popularity": 0.5}
    assert "untrained" not in said.settings
    assert not {"i0", "i4"} & set(ranking.ids)
    assert any(line.reasons for line in ranking.recommendations)
    whole = rec.recommend(["red cup", "i4"], k=12, exclude_consumed=False)
    assert sum(line.probability for line in whole.recommendations) == pytest.approx(1)
    assert len(whole.ids) == 12
    assert rec.explain(["red cup", "blue lamp"], "blue chair")[0].item.title == "blue lamp"


def test_the_popularity_weight_is_the_tasks_or_the_given_one(adapters):
    for settings, weight in (({"task": "uniform"}, 2.0), ({"popularity_weight": 7.0}, 7.0)):
        rec = Recommender(shop(), model="fake:overlap", adapter="cups", **settings)
        assert rec.recommend(["red cup"]).provenance.weights["popularity"] == weight


def test_the_prompt_shows_as_much_as_the_mode_does(rec, adapters):
    history = ["red cup", "red plate", "red lamp"]
    assert rec.prompt(history).shown == 3
    rec.use("cups")
    assert rec.prompt(history).shown == 2


def test_recommenders_share_a_model_each_with_its_own_adapter(adapters):
    shared = FakeBackend.from_name("overlap")
    recs = {
        name: Recommender(shop(), model=shared, adapter=name, mode="encoder") for name in ("cups", "books")
    }
    recs[None] = Recommender(shop(), model=shared, mode="encoder")
    cold = {name: rec.recommend(user="u1").recommendations for name, rec in recs.items()}
    assert len(set(cold.values())) == 3
    for name in ("cups", None, "books", "cups", "books", None):
        assert recs[name].recommend(user="u1").recommendations == cold[name]


def test_modes_that_need_no_history_answer_for_a_user_of_whom_nothing_is_known():
    rec = Recommender(shop(), model="fake:overlap", embedder="backend", mode="popularity")
    ranking = rec.recommend([], k=3)
    counts = rec.dataset.popularity()
    found = [counts[rec.dataset.index[line.item_id]] for line in ranking.recommendations]
    assert found == sorted(counts, reverse=True)[:3]
    assert ranking.provenance.events["no_history"] == 1
    assert "no_history" not in rec.recommend(["red cup"]).provenance.events
    assert rec.rank([], candidates=["red cup", "blue lamp"]).provenance.events["no_history"] == 1
    with pytest.raises(DataError, match=r"mode bm25\+popularity can say nothing.*mode: lstm, popularity"):
        Recommender(rec.dataset, model="fake:overlap", mode="bm25+popularity").recommend([])


def test_explain_names_the_history_item_behind_a_candidate():
    rec = Recommender(shop(), model="fake:overlap", embedder="backend", mode="embedding")
    reasons = rec.explain(["red cup", "blue lamp"], "blue chair")
    assert reasons[0].item.title == "blue lamp"
    assert reasons[0].gain > 0


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda r: r.recommend(), DataError, "either a history or a user"),
        (lambda r: r.recommend(["red cup"], user="u0"), DataError, "either a history or a user"),
        (lambda r: r.recommend([]), DataError, "history is empty"),
        (lambda r: r.recommend([""]), DataError, "empty text"),
        (lambda r: r.recommend(user="nobody"), UnknownName, "Unknown user 'nobody'"),
        (lambda r: r.rank(["red cup"], candidates=[]), DataError, "no candidates"),
        (lambda r: r.rank(["red cup"], candidates=["i1", "red plate"]), DataError, "more than once"),
        (lambda r: Recommender(r.dataset, mode="best"), UnknownName, "Unknown mode"),
        (lambda r: Recommender(r.dataset, candidate=3), UnknownName, "Did you mean 'candidates'?"),
        (lambda r: Recommender(r.dataset, domain="shoping"), UnknownName, "Did you mean 'shopping'?"),
        (lambda r: Recommender(r.dataset, model="smolm2"), UnknownName, "Did you mean 'smollm2'?"),
        (lambda r: Recommender(r.dataset, calibration="peers"), UnknownName, "calibration"),
        (lambda r: Recommender(r.dataset, embedder="glove"), UnknownName, "Unknown embedder"),
        (lambda r: Recommender(r.dataset, task="unifrom"), UnknownName, "Did you mean 'uniform'?"),
        (lambda r: r.use("nobody's"), UnknownName, "Unknown adapter"),
        (lambda r: r.use(5), UnknownName, "Unknown adapter '5'"),
        (lambda r: r.recommend(["red cup"], k="3"), ConfigError, "k is '3'; ask for a whole number"),
        (lambda r: r.recommend(["red cup"], k=2.5), ConfigError, "k is 2.5; ask for a whole number"),
        (lambda r: r.recommend(["red cup"], k=None), ConfigError, "k is None; ask for a whole number"),
        (lambda r: r.rank(["red cup"], candidates=None), DataError, "candidates is None; give a list"),
        (lambda r: Recommender(r.dataset, mode=None), UnknownName, "Unknown mode 'None'"),
        (lambda r: Recommender(r.dataset, embedder=None), UnknownName, "Unknown embedder 'None'"),
        (lambda r: Recommender(r.dataset, candidates="9"), ConfigError, "candidates is '9'; retrieval"),
        (lambda r: Recommender(None), DataError, "The data is None; give a folder, or a Dataset"),
        (lambda r: Recommender(list(r.dataset.items)), DataError, "from_rows"),
    ],
)
def test_errors(rec, call, error, words):
    with pytest.raises(error, match=words.replace("?", r"\?")):
        call(rec)


def test_a_mode_is_built_once_under_each_adapter(rec, adapters):
    for mode in ("label", "fused", "bm25+popularity", "popularity"):
        assert rec.ranker_of(mode) is rec.ranker_of(mode)
    bare = rec.ranker_of("fused")
    rec.use("cups")
    assert rec.ranker_of("fused") is not bare
    rec.use(None)
    assert rec.ranker_of("fused") is bare


def test_threads_that_come_first_together_load_and_build_once(monkeypatch, tmp_path):
    loaded = []

    class Loading(FakeBackend):
        def __init__(self):
            loaded.append(1)
            time.sleep(0.05)
            super().__init__(lambda prompt, text: float(len(text)))

    monkeypatch.setattr("llmrec_prompt.recommender.load_backend", lambda *_, **__: Loading())
    rec = Recommender(shop(), model="fake:overlap", embedder="backend", candidates=5)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: rec.recommend(["red cup"], k=3).ids, range(8)))
    assert len(loaded) == 1
    assert found == found[:1] * 8


def test_a_prompt_can_be_looked_at_while_something_else_is_built():
    """Locks are taken in one order: one of a recommender's, and none inside a turn of the model."""
    rec, built = Recommender(shop(), model="fake:overlap", mode="bm25+encoder", embedder="backend"), []
    with rec._swap.rankers.building:  # another thread's work
        look = threading.Thread(target=lambda: built.append(rec.prompt(["red cup"])), daemon=True)
        look.start()
        look.join(timeout=0.3)
        rec.ranker_of("encoder")
    look.join(timeout=10)
    assert built[0].text


def test_what_is_built_is_there_while_something_else_is_being_built():
    rec, found = Recommender(shop(), model="fake:overlap", embedder="backend"), []
    own = rec.ranker_of("popularity")
    with rec._swap.rankers.building:
        look = threading.Thread(target=lambda: found.append(rec.ranker_of("popularity")), daemon=True)
        look.start()
        look.join(timeout=10)
    assert found == [own]


def test_rankers_of_another_domain_keep_the_adapter_whoever_else_swaps(adapters):
    shared = FakeBackend.from_name("overlap")
    rec = Recommender(shop(), model=shared, embedder="backend")
    ranker = rec.speaking(rec.domain.model_copy(update={"person": "gardener"})).ranker("likelihood")
    shared.use("elsewhere")
    assert ranker.origin["adapter"] == ""


def test_rankers_of_another_domain_weigh_as_this_one_learnt():
    """Else a probe of who asks would see other weights beside another prompt."""
    rec = Recommender("sample:movies", model="fake:random", embedder="backend", mode="stacked")
    other = rec.speaking(rec.domain.model_copy(update={"person": "gardener"})).ranker("stacked")
    assert other.weights == rec.ranker.weights != rec.ranker_of("fused").weights
