"""What a stage is put together from."""

import pytest

pytest.importorskip("torch")

from llmrec_prompt.errors import DataError
from tests.adapt.learning import bench, source


def test_who_only_judges_needs_nobody_to_train_on(tiny, ring):
    found = bench(tiny, {"encode": 1.0}, [source(ring, users=0)])
    assert 0 < found.evaluate()["ndcg@10"] < 1
    with pytest.raises(DataError, match="has no history to train on"):
        found.lessons[0]
