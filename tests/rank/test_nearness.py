import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from llmrec_prompt.rank.nearness import nearness

COSINES = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(-1, 1))


def test_by_hand():
    found = nearness(np.array([[0.5, -1.0], [1.0, 0.0]]), 2.0)
    wanted = [np.log((np.exp(1.0) + np.exp(2.0)) / 2) / 2, np.log((np.exp(-2.0) + 1) / 2) / 2]
    assert found == pytest.approx(wanted)


@given(COSINES, st.floats(0.1, 500))
def test_it_lies_between_mean_and_maximum(cosines, near):
    found = nearness(cosines, near)
    assert (found <= cosines.max(axis=0) + 1e-9).all()
    assert (found >= cosines.mean(axis=0) - 1e-9).all()


@given(COSINES)
def test_the_temperature_leads_from_mean_to_maximum(cosines):
    assert nearness(cosines, 1e-6) == pytest.approx(cosines.mean(axis=0), abs=1e-5)
    assert nearness(cosines, 1e6) == pytest.approx(cosines.max(axis=0), abs=1e-5)
