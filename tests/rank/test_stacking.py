import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrec_prompt.adapters import hashes_of, write_users
from llmrec_prompt.backends.fake import FakeBackend
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.rank import Rankers, combine
from llmrec_prompt.rank.stacking import FEWEST, SCALE, asked, conditional_logit, validation
from llmrec_prompt.scorers import Ingredients

from .toys import NAMES, adapter_folder, chains, dataset, items, prompter


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path / "cache"))


def rankers(data, backend=None, **options):
    options = {"weights": {"co-occurrence": 1.0, "random": 1.0}, "task": "uniform", **options}
    backend = backend or FakeBackend.from_name("overlap")
    return Rankers(Ingredients(data, prompter(), lambda: backend, embedder="backend", seed=3), **options)


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


def test_what_users_chose_by_weighs_more_and_chance_less():
    weights = rankers(chains()).ranker("stacked").weights
    assert weights["co-occurrence"] > SCALE > weights["random"]


def test_it_adds_up_the_parts_with_those_weights():
    made = rankers(chains())
    stacked = made.ranker("stacked")
    assert stacked.name == "stacked"
    same = rankers(chains(), weights=stacked.weights).ranker("fused")
    history, candidates = items("bcd"), items("exyz")
    assert (
        combine(stacked.score(history, candidates)).tolist()
        == combine(same.score(history, candidates)).tolist()
    )


@pytest.mark.parametrize("data", [dataset(NAMES), chains(FEWEST - 1), chains(30, liked=1)])
def test_logs_that_cannot_teach_weights_are_an_error(data):
    with pytest.raises(ConfigError, match=r"10 users or more, with two likes each.*Use mode fused"):
        rankers(data, weights={"bm25": 1.0}).ranker("stacked")


def test_weights_are_kept_until_something_that_they_depend_on_changes():
    backend = FakeBackend.from_name("overlap")
    parts = {"likelihood": 1.0, "co-occurrence": 1.0}

    def learnt(data=None, **options):
        before = backend.usage.evaluated
        found = rankers(data or chains(), backend, weights=parts, **options).ranker("stacked").weights
        return found, backend.usage.evaluated > before

    first, anew = learnt()
    assert anew
    assert learnt() == (first, False)
    assert learnt(chains(31))[1]
    assert learnt(task="popular")[1]
    assert learnt(prior_weight=0.5)[1]


def test_a_damaged_file_is_learnt_anew(tmp_path):
    first = rankers(chains()).ranker("stacked").weights
    (file,) = (tmp_path / "cache" / "weights").iterdir()
    file.write_text('{"co-occurrence": 1')
    assert rankers(chains()).ranker("stacked").weights == first


def test_nobody_is_asked_whom_the_adapter_learnt_from(tmp_path):
    data, backend = chains(), FakeBackend.from_name("overlap")
    folder = adapter_folder(tmp_path, name="some")
    learnt_from = data.users[:15]
    write_users(folder, hashes_of(data, learnt_from))
    backend.use(folder)
    made = rankers(data, backend, weights={"likelihood": 1.0})
    assert made.ranker("stacked")
    asked_users = {case.user_id for case in validation(made).cases}
    assert asked_users == set(data.users) - set(learnt_from)
    write_users(folder, hashes_of(data, data.users[:25]))
    with pytest.raises(ConfigError, match=r"not learnt from; .* has 5"):
        validation(made)


@pytest.mark.parametrize("task", ["catalogue", "uniform", "popular"])
def test_questions_are_those_of_the_task_and_hide_what_was_chosen(task):
    data = chains()
    made = rankers(data, task=task)
    split = validation(made)
    inner = made.over(split.train)
    found = list(asked(split, inner))
    assert len(found) >= FEWEST
    for history, candidates, place in found:
        ids = [item.item_id for item in candidates]
        assert not {item.item_id for item in history} & set(ids)
        after = NAMES[(NAMES.index(history[-1].item_id) + 1) % len(NAMES)]
        assert ids[place] == after
        assert len(ids) == 20
    assert split.train.fingerprint != data.fingerprint
