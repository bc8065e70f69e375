"""The same file behind real servers and in this process: what a server can do it does alike."""

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from llmrec_prompt.adapters import find
from llmrec_prompt.backends import Hosted, load_backend, parse_ref
from llmrec_prompt.backends.loading import gguf_file
from llmrec_prompt.errors import Unsupported
from llmrec_prompt.rank import LabelRanker, LikelihoodRanker, ListedRanker, YesNoRanker, rank
from llmrec_prompt.templates import Prompter, load_domain
from llmrec_prompt.types import Item

from .real import missing, real_server

pytestmark = pytest.mark.llama
PROMPTER = Prompter(load_domain("movies"))
HISTORY = [Item(item_id=t, title=t) for t in ("Alien", "Blade Runner")]
CANDIDATES = [Item(item_id=t, title=t) for t in ("Aliens", "Amélie", "Toy Story", "Heat")]
NEAR = 0.15
"""Nats: both run the same half-precision file, in different builds of llama.cpp and shapes of batches."""


@pytest.fixture(scope="module")
def local(own_cache):
    backend = load_backend("smollm2", context=1024, threads=1)
    yield backend
    backend.close()


@contextmanager
def on_server(kind, **how):
    absent = missing(kind)
    if absent:
        pytest.skip(f"{kind} is NOT TESTED: {', '.join(absent)} not installed")
    with real_server(kind, gguf_file(parse_ref("smollm2"))[0], context=1024, **how) as url:
        backend = load_backend("openai:smollm2", hosted=Hosted(base_url=url, concurrency=1, refresh=True))
        yield backend
        backend.close()


@pytest.fixture(scope="module", params=["llama-server", "llama-cpp-python"])
def served(request, own_cache):
    with on_server(request.param, embeddings=request.param == "llama-cpp-python") as backend:
        yield request.param, backend


def test_what_they_give(served):
    kind, backend = served
    expected = {"llama-server": "json_schema", "llama-cpp-python": "json_object_schema"}
    assert backend.info.can == {"choose", "generate", "schema"}
    assert backend.record.schema_form == expected[kind]
    assert backend.record.tokenizer == kind
    assert backend.record.grammar
    if kind == "llama-cpp-python":  # a vector for each token is no embedding of the text
        assert "no vector for each text" in backend.info.remarks["embed"]
    assert backend.record.completions_top == 100


def test_likelihood_is_refused_with_the_reason(served):
    kind, backend = served
    why = {
        "llama-server": "without the prompt's log-probabilities",
        "llama-cpp-python": "misaligned by a token",  # abetlen/llama-cpp-python: echo without BOS
    }
    with pytest.raises(Unsupported, match=why[kind]):
        LikelihoodRanker(backend, PROMPTER)


@pytest.mark.parametrize("build", [LabelRanker, YesNoRanker])
def test_the_next_token_is_the_same(served, local, build):
    _, backend = served
    here, there = (rank(build(b, PROMPTER), HISTORY, CANDIDATES) for b in (local, backend))
    scores = {line.item_id: line.score for line in here.recommendations}
    for line in there.recommendations:
        assert line.score == pytest.approx(scores[line.item_id], abs=NEAR)
    assert "label_outside_top" not in there.provenance.events


def test_where_the_model_would_rather_end_labels_are_read_all_the_same(served, local):
    _, backend = served
    over = "<|im_start|>user\nSay yes.<|im_end|>\n<|im_start|>assistant\nYes."
    here, there = (b.choose([over], [" Yes", " No"])[0] for b in (local, backend))
    assert there.logprobs == pytest.approx(here.logprobs, abs=NEAR)
    assert there.mass == pytest.approx(here.mass, abs=0.05)
    assert there.mass < 0.1


def test_a_list_holds_numbers_only(served):
    _, backend = served
    ranking = rank(ListedRanker(backend, PROMPTER), HISTORY, CANDIDATES)
    assert sorted(ranking.ids) == sorted(item.item_id for item in CANDIDATES)
    assert not {"listed_unknown", "unusable_answer"} & ranking.provenance.events.keys()


def test_states_are_embeddings_pooled_at_the_end(local):
    texts = ["Alien (1979)", "Films that a person saw:\nHeat\n", "Amélie"]
    with on_server("llama-server", embeddings=True) as backend:
        assert "embed" in backend.info.can
        for here, there in zip(local.embed(texts), backend.embed(texts), strict=True):
            assert here @ there / np.linalg.norm(here) / np.linalg.norm(there) > 0.9999


def test_adapters_are_chosen_by_request(local):
    """A, B, none, A: each answer is that of the adapter in this process, nothing of another is left in it."""
    a, b = (str(find(name).folder) for name in ("smollm2-movies", "smollm2-games"))
    prompt, labels = "The sky is blue. True or false? Answer:", [" True", " False"]

    def answer(backend, adapter):
        backend.use(adapter)
        choice = backend.choose([prompt], labels)[0]
        assert not choice.outside
        return (*choice.logprobs, 2 * choice.mass)

    expected = {adapter: answer(local, adapter) for adapter in (a, b, None)}
    for one, other in ((a, b), (a, None), (b, None)):
        assert np.abs(np.subtract(expected[one], expected[other])).max() > 2 * NEAR
    twins = tuple(str(local.write_twin(Path(folder))) for folder in (a, b))
    with on_server("llama-server", adapters=twins) as backend:
        for adapter in (a, b, None, a):
            assert answer(backend, adapter) == pytest.approx(expected[adapter], abs=NEAR), adapter
