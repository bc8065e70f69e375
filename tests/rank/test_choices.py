import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrec_prompt.rank.choices import conditional_logit


def objective(choices, weights, start, strength):
    total = -strength / 2 * float(((weights - start) ** 2).sum())
    for values, chosen in choices:
        scores = values @ weights
        total += scores[chosen] - float(np.log(np.exp(scores).sum()))
    return total


@st.composite
def questions(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    sizes = draw(st.lists(st.integers(1, 6), max_size=8))
    return [(rng.normal(size=(size, 2)), int(rng.integers(size))) for size in sizes]


@settings(max_examples=50, deadline=None)
@given(questions(), st.floats(0.5, 20), st.floats(0, 2))
def test_no_other_weights_explain_the_choices_better(choices, strength, start):
    begin = np.array([start, 0.5])
    found = conditional_logit(choices, begin, strength)
    best = objective(choices, found, begin, strength)
    assert (found >= 0).all()
    for step in ([0.01, 0], [-0.01, 0], [0, 0.01], [0, -0.01], [0.01, 0.01], [-0.01, -0.01]):
        other = np.maximum(found + step, 0)
        assert objective(choices, other, begin, strength) <= best + 1e-9


def test_without_choices_weights_stay_where_they_start():
    assert conditional_logit([], np.array([0.3, 0.7]), 5.0).tolist() == [0.3, 0.7]
