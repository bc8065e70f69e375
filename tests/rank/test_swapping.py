import shutil

import pytest

from llmrec_prompt.adapters import Card
from llmrec_prompt.adapters.gguf import Shape, write_twin
from llmrec_prompt.backends import adapter_identity
from llmrec_prompt.errors import AdapterError, UnknownName
from llmrec_prompt.rank import TRAINED, WEIGHTS, Rankers, Swap, combine, rank
from llmrec_prompt.scorers import Ingredients

from ..adapters.made import write_adapter
from .toys import States, adapter_folder, card, dataset, items, prompter

DATA = dataset("abcdef", "u1 a b c\nu2 b c d\nu3 c d e\n")
ALL = DATA.items


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LLMREC_ADAPTERS", str(tmp_path / "adapters"))


@pytest.fixture
def folders(tmp_path):
    place = tmp_path / "adapters"
    return {
        "films": adapter_folder(place, name="films", domain="shop"),
        "books": adapter_folder(place, name="books", domain="other", templates={}, scale=4.0),
    }


def swap(backend, adapter=None, **options):
    base = Rankers(Ingredients(DATA, prompter(), embedder="backend"), **options)
    return Swap(base, lambda: backend, adapter)


def scores(of, mode):
    return combine(of.rankers.ranker(mode).score(items("ab"), ALL)).tolist()


MODES = ("encoder", "likelihood", "embedding", "fused")


@pytest.mark.parametrize("mode", MODES)
def test_a_then_b_then_a_equals_a_alone(folders, mode):
    shared = swap(States())
    found = {}
    for name in ("films", "books", "films", None, "books", None):
        shared.use(name)
        found.setdefault(name, scores(shared, mode))
        assert scores(shared, mode) == found[name]
    assert len({str(values) for values in found.values()}) == 3
    for name, values in found.items():
        assert scores(swap(States(), name), mode) == values


def test_auto_is_the_adapter_of_the_domain_or_none(folders, tmp_path):
    found = swap(States(), "auto")
    assert found.rankers.card.name == "films"  # serves shop, the domain of the data
    assert scores(found, "encoder") == scores(swap(States(), "films"), "encoder")
    shutil.rmtree(folders["films"])
    found = swap(States(), "auto")
    assert found.rankers.card is None
    assert found.backend.adapter is None


@pytest.mark.parametrize("mode", MODES)
def test_swaps_of_one_model_do_not_disturb_each_other(folders, mode):
    backend = States()
    one, two, base = swap(backend, "films"), swap(backend, "books"), swap(backend)
    cold = [scores(swap(States(), name), mode) for name in ("films", "books", None)]
    for _ in range(2):
        assert [scores(s, mode) for s in (one, two, base)] == cold
        assert scores(two, mode) == cold[1]


def test_the_model_is_loaded_once_and_only_when_it_is_needed(folders):
    loads = []

    def load():
        loads.append(1)
        return States()

    given = Swap(Rankers(Ingredients(DATA, prompter(), embedder="backend")), load, None)
    given.rankers.ranker("popularity")
    assert loads == []
    for name in ("films", None, "books"):
        given.use(name)
        given.rankers.ranker("encoder").score(items("a"), items("b"))
    assert loads == [1]


def test_going_back_encodes_nothing_anew(folders):
    backend = States()
    given = swap(backend, "films")
    scores(given, "encoder")
    first = given.rankers
    given.use("books")
    scores(given, "encoder")
    given.use("films")
    backend.take()
    assert given.rankers is first
    scores(given, "encoder")
    assert backend.take() == []


def test_scorers_that_no_adapter_changes_are_shared(folders):
    given = swap(States())
    popularity, embedding = given.rankers.scorer("popularity"), given.rankers.scorer("embedding")
    given.use("films")
    assert given.rankers.scorer("popularity") is popularity
    assert given.rankers.scorer("embedding") is not embedding


def test_by_name_domain_or_path(folders):
    for what in ("films", "shop", folders["films"]):
        given = swap(States(), what)
        assert given.rankers.card.name == "films"
        assert given.backend.adapter == folders["films"]


def test_auto_is_the_mode_the_adapter_was_trained_for_and_fused_where_an_encoder_was_not(folders, tmp_path):
    adapter_folder(tmp_path / "adapters", name="plain", mode="likelihood", scale=None)
    adapter_folder(tmp_path / "adapters", name="read", unlabelled=["shop"])
    given = swap(States())
    modes = {None: "fused", "films": "encoder", "plain": "likelihood", "books": "fused", "read": "fused"}
    for name, mode in modes.items():
        given.use(name)
        assert given.rankers.ranker("auto").name == mode
        assert rank(given.rankers.ranker("auto"), items("a"), items("bc")).provenance.mode == mode


def test_a_folder_without_a_card_is_taken_as_it_is(tmp_path):
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_text("weights")
    given = swap(States(), str(folder))
    said = rank(given.rankers.ranker("encoder"), items("a"), items("bc")).provenance
    assert (said.adapter, said.adapter_hash) == (str(folder), adapter_identity(str(folder)))
    assert said.settings["untrained"] is True
    assert given.rankers.card is None
    assert given.rankers.ranker("auto").name == "fused"


def test_an_exported_twin_serves_the_mode_it_was_trained_for(tmp_path, caplog):
    pytest.importorskip("gguf", reason="GGUF twins are NOT TESTED: the extra [local] is not installed")
    folder = write_adapter(tmp_path / "films", card(name="films"))
    out = str(write_twin(folder, tmp_path / "films.gguf", Shape("llama", 2, 1)))
    given = swap(States(), out)
    assert given.rankers.card == Card.load(folder)
    assert given.rankers.ranker("auto").name == "encoder"
    assert given.backend.adapter == out
    assert caplog.messages == []
    foreign = write_adapter(tmp_path / "far", card(name="far", base={"ref": "smollm2", "hash": "0" * 16}))
    with pytest.raises(AdapterError, match="trained on smollm2"):
        given.use(str(write_twin(foreign, tmp_path / "far.gguf", Shape("llama", 2, 1))))
    (folder / "card.yaml").unlink()
    for _ in range(2):
        given.use(str(write_twin(folder, tmp_path / "plain.gguf", Shape("llama", 2, 1))))
        given.use(None)
    assert given.rankers.card is None
    (said,) = caplog.messages
    assert "plain.gguf has no card" in said


def test_a_failed_swap_leaves_the_adapter_in_use(folders, tmp_path):
    place = tmp_path / "adapters"
    adapter_folder(place, name="foreign", domain="far", base={"ref": "smollm2", "hash": "0" * 16})
    adapter_folder(place, name="old", domain="past", templates={"shop": "0" * 16})
    given = swap(States(), "films")
    before = scores(given, "encoder")
    for name, error, words in (
        ("nobody", UnknownName, "Unknown adapter 'nobody'"),
        ("foreign", AdapterError, "trained on smollm2"),
        ("old", AdapterError, "other templates of 'shop'"),
    ):
        with pytest.raises(error, match=words):
            given.use(name)
        assert given.backend.adapter == folders["films"]
        assert scores(given, "encoder") == before


def test_an_adapter_trained_anew_at_the_same_place_is_another(folders):
    given = swap(States(), "films")
    first = given.rankers
    card(name="films", domain="shop", scale=16.0).save(folders["films"])
    given.use("films")
    assert given.rankers is not first
    assert given.rankers.ranker("encoder").settings["scale"] == 16.0


def test_in_a_fusion_a_trained_encoder_takes_the_likelihoods_place(folders):
    given = swap(States(), "books")
    parts = given.rankers.ranker("fused").score(items("ab"), items("cdef"))
    assert list(parts.parts) == ["encoder", *(p for p in WEIGHTS if p != "likelihood")]
    assert parts.settings["encoder"]["weight"] == WEIGHTS["likelihood"]
    own = swap(States(), "films", weights={"likelihood": 1.0, "encoder": 2.0})
    assert own.rankers.fusion() == {"likelihood": 1.0, "encoder": 2.0}


def test_in_its_own_domain_it_leads_the_fusion_with_its_own_popularity(tmp_path):
    adapter_folder(tmp_path / "adapters", name="films", popularity={"catalogue": 2.0})
    given = swap(States(), "films")
    assert given.rankers.fusion() == TRAINED
    history, candidates = items("ab"), items("cde")
    alone = combine(given.rankers.ranker("encoder").score(history, candidates))
    fused = given.rankers.ranker("fused").score(history, candidates)
    assert fused.parts["encoder"].tolist() == alone.tolist()


def test_how_candidates_are_found(folders):
    given = swap(States(), "films")
    everything = given.rankers.retriever("auto", 2).retrieve(items("a"), ("b",))
    assert [item.item_id for item in everything] == list("acdef")
    best = given.rankers.ranker("encoder").catalogue(items("a")).argmax()
    found = given.rankers.retriever("fused", 2).retrieve(items("a"))
    assert found[0].item_id == ALL[best].item_id
    assert len(found) == 2


def test_the_prompt_is_what_the_mode_reads(folders):
    given, history = swap(States(), "films"), items("abc")
    trained = given.rankers.prompt("auto", history)
    assert (trained.shown, trained.dropped) == (2, 1)
    assert given.rankers.prompt("encoder+popularity", history) == trained
    given.use(None)
    whole = given.rankers.prompt("auto", history)  # likelihood takes part
    assert whole.shown == 3
    assert whole.text.startswith(trained.text.partition("\n")[0])
    texts = given.rankers.prompt("encoder", history).text
    assert texts == "".join(given.rankers.given.prompter.item(item) for item in history)
    with pytest.raises(UnknownName):
        given.rankers.prompt("encodr", history)
