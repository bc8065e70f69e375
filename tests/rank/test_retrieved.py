import numpy as np
import pytest

from llmrec_prompt import Recommender
from llmrec_prompt.errors import DataError
from llmrec_prompt.rank import RetrievedRanker, rank


@pytest.fixture
def rec():
    return Recommender(
        "sample:movies", model="fake:overlap", embedder="backend", mode="likelihood", candidates=4
    )


WORDS = ["Alien", "Heat"]


def test_the_first_are_those_of_a_recommendation(rec):
    history = rec.history(WORDS)
    others = [item for item in rec.dataset.items if item not in history]
    ranker = RetrievedRanker(rec.ranker_of("likelihood"), rec.retriever_of("likelihood", 4))
    whole = rank(ranker, history, others)
    assert whole.ids[:4] == rec.recommend(WORDS, k=4).ids
    assert sorted(whole.ids) == sorted(item.item_id for item in others)
    assert whole.provenance.events["not_retrieved"] == len(others) - 4
    assert whole.provenance.events["tied"] >= len(others) - 4
    lowest = {line.score for line in whole.recommendations[4:]}
    assert len(lowest) == 1
    assert max(lowest) < whole.recommendations[3].score


def test_only_what_was_retrieved_is_asked_about(rec):
    asked = []
    inner = rec.ranker_of("likelihood")

    class Listening:
        name, origin = "listening", inner.origin

        def score(self, history, candidates):
            asked.extend(item.item_id for item in candidates)
            return inner.score(history, candidates)

    history, few = rec.history(WORDS), rec.dataset.items[3:9]
    scored = RetrievedRanker(Listening(), rec.retriever_of("likelihood", 4)).score(history, few)
    assert len(asked) == 4
    assert set(asked) < {item.item_id for item in few}
    (values,) = scored.parts.values()
    assert np.sum(values == values.min()) == 2


def test_what_knows_the_whole_catalogue_needs_no_retrieval(rec):
    assert rec.retriever_of("popularity", 4).finds_all
    assert rec.retriever_of("encoder", 4).finds_all
    assert not rec.retriever_of("fused", 4).finds_all


def test_nothing_of_the_catalogue_is_an_error(rec):
    ranker = RetrievedRanker(rec.ranker_of("likelihood"), rec.retriever_of("likelihood", 4))
    stranger = rec.dataset.items[0].model_copy(update={"item_id": "elsewhere"})
    with pytest.raises(DataError, match="Nothing is left"):
        ranker.score(rec.history(WORDS), [stranger])
