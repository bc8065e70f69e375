import pytest

from llmrec_prompt.backends.fake import FakeBackend
from llmrec_prompt.errors import ConfigError, UnknownName
from llmrec_prompt.evaluate import Plan
from llmrec_prompt.evaluate.probing import Probing, probe


def plan(**changes):
    given = {"data": "sample:movies", "users": 6, "candidates": 8, "model": "fake:overlap"}
    return Plan(**{**given, "embedder": "backend", "rankers": ("likelihood",), **changes})


def test_every_probe_sums_up_every_ranker_and_says_what_cannot_be_asked():
    found = probe(Probing(plan(rankers=("label", "popularity"))))
    assert found["facts"]["users"] == 6
    assert set(found["position"]) == {"label", "popularity"}
    assert set(found["attributes"]) == {"label"}
    assert set(found["attributes"]["label"]["serp"]["similarity"]) == {"man", "woman"}
    assert set(found["memory"]) == {"titles", "exchange"}
    assert found["memory"]["exchange"]["asked"] == 3  # pairs
    assert found["refused"] == {
        "attributes: popularity": "popularity reads no prompt, so no attribute can reach it."
    }


def test_the_probes_asked_for_and_no_others():
    found = probe(Probing(plan(), ("position",)))
    assert set(found) == {"facts", "position", "refused"}


def test_what_one_probe_cannot_ask_is_no_end_of_the_others():
    found = probe(Probing(plan(candidates=4), ("attributes", "memory"), k=5))
    assert found["attributes"] == {}
    assert "more than 5 candidates" in found["refused"]["attributes: likelihood"]
    assert "titles" in found["memory"]


def test_it_is_the_same_again():
    asked = Probing(plan(rankers=("label",)), ("position", "memory"))
    assert probe(asked) == probe(asked)


def test_what_was_answered_is_not_asked_again(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path))  # a kept cache has the answers of the last run
    asked = Probing(plan(rankers=("label",), seed=5), ("position", "attributes"))
    texts = []
    backend = FakeBackend(lambda prompt, text: texts.append(text) or -float(len(prompt) % 7))
    found = probe(asked, backend=backend)
    told = len(texts)
    assert probe(asked, backend=backend) == found
    assert len(texts) == told > 0


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        (Probing(plan(), ("positon",)), UnknownName, "Did you mean 'position'"),
        (Probing(plan(), ()), UnknownName, "Unknown probe ''"),
        (Probing(plan(rankers=())), ConfigError, "give at least one"),
    ],
)
def test_what_cannot_be_meant(asked, error, words):
    with pytest.raises(error, match=words):
        probe(asked)
