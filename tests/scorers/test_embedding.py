import pytest

from llmrec_prompt.scorers.embedding import EmbeddingScorer

from .small import PROMPTER, TinyEmbedder, dataset, item

DATA = dataset("a, b, c")
VECTORS = {"a": (1.0, 0.0), "b": (0.0, 1.0), "c": (0.6, 0.8), "new": (0.8, 0.6), "d": (-1.0, 0.0)}


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path))


def test_hand_worked():
    scorer = EmbeddingScorer(DATA, PROMPTER, TinyEmbedder(VECTORS))
    # The nearest: 1, 1, 0.8; the average: 0.5, 0.5, 0.7.
    assert scorer.score([item("a"), item("b")]) == pytest.approx([0.75, 0.75, 0.75])


def test_negative_cosines_stay_negative():
    data = dataset("a, d")
    scorer = EmbeddingScorer(data, PROMPTER, TinyEmbedder(VECTORS))
    assert scorer.score([item("a")]) == pytest.approx([1, -1])


def test_empty_history_and_latest_items():
    scorer = EmbeddingScorer(DATA, PROMPTER, TinyEmbedder(VECTORS), recent_items=1)
    assert scorer.score([]).tolist() == [0.0, 0.0, 0.0]
    assert scorer.score([item("a"), item("b")]) == pytest.approx([0, 1, 0.8])
    assert scorer.settings == {"embedder": "tiny", "recent_items": 1, "pooling": "both"}


def test_an_item_outside_the_catalogue_is_embedded_once():
    embedder = TinyEmbedder(VECTORS)
    scorer = EmbeddingScorer(DATA, PROMPTER, embedder)
    embedder.asked.clear()
    for _ in range(2):
        assert scorer.score([item("new")]) == pytest.approx([0.8, 0.6, 0.96])
    assert embedder.asked == ["new."]


def test_a_second_construction_computes_nothing_and_a_new_item_costs_one():
    EmbeddingScorer(DATA, PROMPTER, TinyEmbedder(VECTORS))
    second = TinyEmbedder(VECTORS)
    scorer = EmbeddingScorer(DATA, PROMPTER, second)
    assert second.asked == []
    assert scorer.score([item("a")]) == pytest.approx([1, 0, 0.6])
    EmbeddingScorer(dataset("a, new, b, c"), PROMPTER, second)
    assert second.asked == ["new."]
    other = TinyEmbedder(VECTORS, name="other")
    EmbeddingScorer(DATA, PROMPTER, other)
    assert sorted(other.asked) == ["a.", "b.", "c."]
