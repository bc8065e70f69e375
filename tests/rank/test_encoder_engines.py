"""The encoder mode with a real model: both engines, with and without an adapter."""

import numpy as np
import pytest

from llmrec_prompt import Dataset, Recommender
from llmrec_prompt.rank import combine

from ..backends.engines import load_engine
from ..backends.lora import random_weights, write_peft
from .toys import card

pytestmark = [pytest.mark.llama, pytest.mark.hf]
CLOSE = 3e-3
"""F16 against single precision. One cosine of 67 is off by 2.03e-3 on some processors, on others by less."""
HISTORIES = (
    ["Alien (1979)", "Blade Runner (1982)"],
    ["Amélie (2001)"],
    ["Casablanca (1942)", "The Matrix (1999)"],
)


@pytest.fixture(scope="module")
def movies():
    return Dataset.load("sample:movies")


@pytest.fixture(scope="module")
def engines(own_cache):
    loaded = {name: load_engine(name) for name in ("llama-smollm2", "hf-smollm2")}
    yield loaded
    for backend in loaded.values():
        backend.close()


@pytest.fixture(scope="module")
def adapter(engines, movies, tmp_path_factory):
    """An adapter of random weights with a card."""
    place = tmp_path_factory.mktemp("adapters")
    write_peft(place, random_weights(engines["hf-smollm2"]._network.model, 3, scale=0.05))
    prompter = Recommender(movies, model="fake:constant").prompter
    base = {"ref": "smollm2", "hash": engines["hf-smollm2"].info.hash}
    card("odd", domain="movies", base=base, templates={"movies": prompter.fingerprint}, history=10).save(
        place
    )
    return str(place)


@pytest.fixture
def recs(engines, movies, tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path))
    return {name: Recommender(movies, model=backend, mode="encoder") for name, backend in engines.items()}


def cosines(rec, history):
    items = rec.history(history)
    return np.asarray(rec.ranker.score(items, rec.dataset.items).parts["encoder"])


def test_engines_have_the_same_states_under_the_same_adapter(recs, adapter):
    llama, hf = recs.values()
    plain = [cosines(llama, h) for h in HISTORIES]
    for history, found in zip(HISTORIES, plain, strict=True):
        assert found == pytest.approx(cosines(hf, history), abs=CLOSE)
    for rec in recs.values():
        rec.use(adapter)
    for history, before in zip(HISTORIES, plain, strict=True):
        found = cosines(llama, history)
        assert found == pytest.approx(cosines(hf, history), abs=CLOSE)
        assert np.abs(found - before).max() > 0.02
        assert np.corrcoef(found, cosines(hf, history))[0, 1] > 0.999


@pytest.mark.parametrize("name", ["llama-smollm2", "hf-smollm2"])
def test_adapter_base_adapter_is_the_same_to_the_last_bit(recs, adapter, name):
    rec = recs[name]
    other = Recommender(rec.dataset, model=rec.backend, adapter=adapter, mode="encoder")

    def scores(of):
        return combine(of.ranker.score(of.history(HISTORIES[0]), of.dataset.items)).tolist()

    base, adapted = scores(rec), scores(other)
    assert base != adapted
    for _ in range(2):
        assert scores(rec) == base
        assert scores(other) == adapted


def test_once_items_are_encoded_a_call_without_training_is_no_forward(recs):
    rec = recs["llama-smollm2"]
    rec.recommend(HISTORIES[0])
    ranking = rec.recommend(HISTORIES[1], k=5)
    assert ranking.provenance.tokens_evaluated == 0
    assert ranking.provenance.candidates == len(rec.dataset.items) - 1
