import dataclasses

import numpy as np
import pytest

from llmrec_prompt.cache import NumberStore, cache_dir
from llmrec_prompt.errors import ContextOverflow, DataError, Unsupported
from llmrec_prompt.rank import LikelihoodRanker, combine, rank
from llmrec_prompt.types import Item

from .toys import Counted, items, prompter

OWN, ONE, TWO = items(["own"]), items(["one"]), items(["two"])
CANDIDATES = items(["a", "bbb"])
LENGTHS = np.array([2.0, 4.0])  # with the line end


def rate(prompt, text):
    """Minus the text's length, twice that after peer one, four times after peer two."""
    return -len(text) * (2.0 if "ONE" in prompt else 4.0 if "TWO" in prompt else 1.0)


def ranker(model, *, store=None, **options):
    return LikelihoodRanker(
        model.backend, options.pop("words", prompter()), store=store or NumberStore(None), **options
    )


@pytest.mark.parametrize(("weight", "factor"), [(1.0, -1 + 3), (0.5, -1 + 1.5), (0.0, -1), (2.0, -1 + 6)])
def test_score_is_the_log_likelihood_less_the_weighted_mean_prior(weight, factor):
    scored = ranker(Counted(rate), peers=[ONE, TWO], prior_weight=weight).score(OWN, CANDIDATES)
    assert combine(scored) == pytest.approx(factor * LENGTHS)
    assert scored.parts.keys() == {"likelihood"}
    assert (
        scored.settings.pop("priors")
        != ranker(Counted(rate), peers=[ONE]).score(OWN, CANDIDATES).settings["priors"]
    )
    assert scored.settings == {
        "history_shown": 1, "history_total": 1, "prior_prompts": 2, "prior_weight": weight
    }  # fmt: skip


def test_without_peers_the_empty_history_is_the_prior():
    model = Counted(lambda prompt, text: float(prompt.count("\n")) * len(text))
    assert combine(ranker(model).score(items("xy"), CANDIDATES)) == pytest.approx(2 * LENGTHS)


def test_without_prior_weight_no_prior_is_asked_for():
    model = Counted(rate)
    made = ranker(model, peers=[ONE, TWO], prior_weight=0)
    made.prepare(CANDIDATES)
    made.score(OWN, CANDIDATES)
    assert {prompt for prompt, _ in model.asked} == {prompter().history(OWN).text}


def test_ones_own_history_is_left_out_of_the_prior():
    model = Counted(rate)
    scored = ranker(model, peers=[ONE, TWO]).score(ONE, CANDIDATES)
    assert combine(scored) == pytest.approx(-2 * LENGTHS + 4 * LENGTHS)


def test_the_model_sees_the_prompt_and_the_line_with_its_end():
    model = Counted(rate)
    ranker(model, prior_weight=0).score(OWN, CANDIDATES)
    assert model.take() == [(prompter().history(OWN).text, "A\n"), (prompter().history(OWN).text, "BBB\n")]


def test_priors_are_shared_by_rankers_on_one_store():
    store, model = NumberStore(None), Counted(rate)
    first = ranker(model, peers=[ONE, TWO], store=store)
    first.prepare(CANDIDATES)
    assert len(model.take()) == 4
    first.score(OWN, CANDIDATES)
    assert {prompt for prompt, _ in model.take()} == {prompter().history(OWN).text}
    second = ranker(model, peers=[TWO, ONE], store=store)
    second.prepare(CANDIDATES)
    assert model.take() == []
    second.score(OWN, CANDIDATES)
    assert len(model.take()) == 2


@pytest.mark.parametrize("change", ["adapter", "words", "model"])
def test_another_adapter_prompt_or_model_has_its_own_priors(change):
    store = NumberStore(None)
    model = Counted(rate, name="one")
    ranker(model, peers=[ONE], store=store).prepare(CANDIDATES)
    model.take()
    if change == "adapter":
        model.backend.use("an/adapter")
    if change == "model":
        model = Counted(rate, name="two")
    words = prompter(verb="ate") if change == "words" else prompter()
    ranker(model, peers=[ONE], store=store, words=words).prepare(CANDIDATES)
    assert len(model.take()) == 2


def test_priors_are_kept_in_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path))
    model = Counted(rate)
    LikelihoodRanker(model.backend, prompter(), peers=[ONE]).prepare(CANDIDATES)
    assert (cache_dir() / "priors.sqlite").is_file()
    model.take()
    LikelihoodRanker(model.backend, prompter(), peers=[ONE]).prepare(CANDIDATES)
    assert model.take() == []


def test_the_latest_prompts_likelihoods_are_remembered_until_prompt_or_adapter_change():
    model = Counted(rate)
    made = ranker(model, prior_weight=0)
    before = combine(made.score(OWN, CANDIDATES))
    model.take()
    assert combine(made.score(OWN, CANDIDATES[::-1])).tolist() == before[::-1].tolist()
    assert model.take() == []
    made.score(OWN, items(["a", "c"]))
    assert [text for _, text in model.take()] == ["C\n"]
    model.backend.use("an/adapter")
    made.score(OWN, CANDIDATES)
    assert len(model.take()) == 2
    made.score(ONE, CANDIDATES)
    assert len(model.take()) == 2


def test_an_empty_history_is_an_error():
    model = Counted(rate)
    with pytest.raises(DataError, match="history is empty"):
        ranker(model).score([], CANDIDATES)
    assert model.asked == []


def test_a_history_that_does_not_fit_loses_its_oldest_items_and_says_so():
    # The head is seven words and a title one: four titles and a candidate fit into twelve.
    model = Counted(rate, context=12)
    said = rank(ranker(model), items("uvwxyz"), items("ab")).provenance
    assert said.events == {"history_dropped": 2, "tied": 2, "all_tied": 1}
    assert (said.settings["history_shown"], said.settings["history_total"]) == (4, 6)
    prompts = {prompt for prompt, _ in model.asked}
    assert prompter().history(items("wxyz")).text in prompts
    fits = rank(ranker(Counted(rate, context=12)), items("wxyz"), items("ab")).provenance
    assert "history_dropped" not in fits.events


def test_the_longest_candidate_decides_what_fits():
    model = Counted(rate, context=12)
    long = Item(item_id="long", title="three word title")
    said = rank(ranker(model), items("uvwxyz"), [*items("a"), long]).provenance
    assert said.events["history_dropped"] == 4


def test_if_not_even_the_latest_item_fits_it_is_an_error():
    long = Item(item_id="long", title="a title of five words")
    with pytest.raises(ContextOverflow, match="needs 13 tokens but the context holds 12"):
        ranker(Counted(rate, context=12)).score(items("uvwxyz"), [long])


def test_peers_that_do_not_fit_are_shown_shorter():
    model = Counted(rate, context=12)
    made = ranker(model, peers=[items("qrstuvwxyz"), items("z")])
    scored = made.score(items("uvwxyz"), items("ab"))
    assert scored.events == {"history_dropped": 2}
    peers = {prompt for prompt, _ in model.asked} - {prompter().history(items("wxyz")).text}
    assert prompter().history(items("yz")).text in peers


def test_cut_texts_of_history_and_candidates_are_counted():
    long = Item(item_id="long", title="x" * 1000)
    said = rank(
        ranker(Counted(rate)), [*OWN, long], [*CANDIDATES, Item(item_id="l2", title="y" * 1000)]
    ).provenance
    assert said.events["text_cut"] == 2


def test_a_model_that_cannot_score_is_refused_when_the_mode_is_built():
    model = Counted(rate)
    model.backend.info = dataclasses.replace(model.backend.info, can=frozenset({"embed"}))
    with pytest.raises(Unsupported, match="Mode 'likelihood' asks for 'score'"):
        ranker(model)


def test_the_model_the_adapter_and_the_template_are_named():
    model = Counted(rate, name="mine")
    model.backend.use("an/adapter")
    words = prompter()
    said = rank(ranker(model, words=words), OWN, CANDIDATES).provenance
    assert (said.mode, said.model, said.adapter) == ("likelihood", "fake:mine", "an/adapter")
    assert said.model_hash == model.backend.info.hash
    assert said.template_fingerprint == words.fingerprint
    assert said.tokens_evaluated == 4  # two candidates of one word after two prompts
