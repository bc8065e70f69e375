import numpy as np
import pytest

from llmrec_prompt.errors import DataError
from llmrec_prompt.rank import ScorerRanker, rank

from .toys import dataset, items

DATA = dataset("abcd")


class ByPlace:
    """Scores 0, 1, 2, ... in catalogue order."""

    name = "place"
    settings = {"how": "by place"}  # noqa: RUF012

    def score(self, history):
        return np.arange(4.0)


def test_candidates_get_their_own_numbers():
    scored = ScorerRanker(ByPlace(), DATA).score(items("a"), items("cab"))
    assert scored.parts["place"].tolist() == [2.0, 0.0, 1.0]
    assert scored.settings == {"how": "by place"}
    ranking = rank(ScorerRanker(ByPlace(), DATA), items("a"), items("cabd"))
    assert ranking.ids == ("d", "c", "b", "a")
    assert (ranking.provenance.mode, ranking.provenance.model) == ("place", "")


def test_a_candidate_outside_the_catalogue_is_an_error_that_says_what_to_do():
    with pytest.raises(DataError, match=r"'Z' is not in the catalogue .*, so .* cannot .*--mode likelihood"):
        ScorerRanker(ByPlace(), DATA).score(items("a"), items("az"))
