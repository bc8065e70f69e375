import dataclasses
import json

import pytest

from llmrec_prompt.adapters import hashes_of, write_users
from llmrec_prompt.backends.fake import FakeBackend
from llmrec_prompt.data import leave_last_out
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.rank import Rankers, combine, learnt_weights
from llmrec_prompt.rank.stacking import CANDIDATES, FEWEST, SCALE, USERS, asked, can_be_asked
from llmrec_prompt.scorers import Ingredients

from .toys import NAMES, adapter_folder, chains, dataset, items, prompter


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path / "cache"))


def rankers(data, backend=None, **options):
    options = {"weights": {"co-occurrence": 1.0, "random": 1.0}, "task": "uniform", **options}
    backend = backend or FakeBackend.from_name("overlap")
    given = Ingredients(data, prompter(), lambda: backend, embedder="backend", seed=3)
    return Rankers(given, learn=learnt_weights, **options)


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
def test_where_too_few_can_teach_weights_stay_and_that_is_counted(data):
    stacked = rankers(data, weights={"bm25": 1.0}).ranker("stacked")
    assert stacked.weights == {"bm25": 1.0}
    assert stacked.score(items("a"), items("bc")).events["weights_not_learnt"] == 1


def test_a_user_who_met_everything_and_a_small_catalogue_are_no_obstacle():
    few = "abcdefgh"
    lines = [f"u{n} {few[n % 8]} {few[(n + 1) % 8]} {few[(n + 2) % 8]}" for n in range(20)]
    data = dataset(few, "\n".join([*lines, "glutton " + " ".join(few)]))
    made = rankers(data)
    assert "weights_not_learnt" not in made.ranker("stacked").score(items("ab"), items("cd")).events
    assert len(can_be_asked(made, None)) == 21


def test_no_weight_may_start_below_zero():
    with pytest.raises(ConfigError, match=r"from 0 up; found \{'random': -1.0\}"):
        rankers(chains(), weights={"random": -1.0}).ranker("stacked")


def test_histories_of_others_are_not_sent_to_a_server():
    backend = FakeBackend.from_name("overlap")
    backend.info = dataclasses.replace(backend.info, engine="openai")
    made = rankers(chains(), backend, weights={"likelihood": 1.0})
    with pytest.raises(ConfigError, match=r"would send histories .* Use mode fused"):
        made.ranker("stacked")
    assert backend.usage.evaluated == 0
    assert rankers(chains(), backend, weights={"co-occurrence": 1.0}).ranker("stacked")


def test_parts_without_a_model_do_without():
    given = Ingredients(chains(), prompter(), None, embedder="backend")
    made = Rankers(given, learn=learnt_weights, weights={"co-occurrence": 1.0, "random": 1.0}, task="uniform")
    assert made.ranker("stacked").weights["co-occurrence"] > SCALE


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


@pytest.mark.parametrize("content", ["", "{}", "[1, 2]", "5", '{"co-occurrence": NaN, "random": 1.0}'])
def test_a_damaged_file_is_learnt_anew(tmp_path, content):
    first = rankers(chains()).ranker("stacked").weights
    (file,) = (tmp_path / "cache" / "weights").iterdir()
    file.write_text(content)
    assert rankers(chains()).ranker("stacked").weights == first
    assert json.loads(file.read_text()) == first


def test_nobody_is_asked_whom_the_adapter_learnt_from(tmp_path):
    data, backend = chains(), FakeBackend.from_name("overlap")
    folder = adapter_folder(tmp_path, name="some")
    learnt_from = data.users[:15]
    write_users(folder, hashes_of(data, learnt_from))
    backend.use(folder)
    made = rankers(data, backend, weights={"likelihood": 1.0})
    assert set(can_be_asked(made, folder)) == set(data.users) - set(learnt_from)
    assert "weights_not_learnt" not in made.ranker("stacked").score(items("ab"), items("cd")).events
    write_users(folder, hashes_of(data, data.users[:25]))
    untaught = rankers(data, backend, weights={"likelihood": 1.0}).ranker("stacked")
    assert untaught.score(items("ab"), items("cd")).events["weights_not_learnt"] == 1


def test_only_as_many_likes_are_held_out_as_are_asked_for():
    """Else small logs would be empty before anything is learnt from them."""
    data = chains(12 * USERS, liked=2)
    assert rankers(data, task="catalogue").ranker("stacked").weights["co-occurrence"] > SCALE


@pytest.mark.parametrize("task", ["catalogue", "uniform", "popular"])
def test_questions_are_those_of_the_task_and_hide_what_was_chosen(task):
    data = chains()
    made = rankers(data, task=task)
    split = leave_last_out(data, users=None, seed=0)
    inner = made.over(split.train)
    found = list(asked(split, inner, 5))
    assert len(found) >= FEWEST
    for history, candidates, place in found:
        ids = [item.item_id for item in candidates]
        assert not {item.item_id for item in history} & set(ids)
        after = NAMES[(NAMES.index(history[-1].item_id) + 1) % len(NAMES)]
        assert ids[place] == after
        assert len(ids) == CANDIDATES
    assert split.train.fingerprint != data.fingerprint
