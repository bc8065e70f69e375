"""What holds for every network: it learns planted structure, is kept in the cache, answers any history."""

import dataclasses
import importlib.util

import numpy as np
import pytest

from llmrec_prompt.progress import reporting

from .small import dataset, item

if importlib.util.find_spec("torch") is None:
    pytest.skip("the networks need torch", allow_module_level=True)

import torch
from safetensors import safe_open

from llmrec_prompt.cache import cache_dir
from llmrec_prompt.scorers.lstm import LstmScorer, LstmShape
from llmrec_prompt.scorers.sasrec import SasrecScorer, SasrecShape
from llmrec_prompt.scorers.sequence_training import Plan

pytestmark = pytest.mark.hf
SCORERS = {
    "lstm": (LstmScorer, LstmShape(dimensions=32, hidden=32, dropout=0.1)),
    "sasrec": (SasrecScorer, SasrecShape(dimensions=32, blocks=1, dropout=0.1)),
}
PLAN = Plan(length=10, batch=16, learning_rate=1e-2, steps=1, rounds=25, patience=5)
SHORT = dataclasses.replace(PLAN, rounds=2)
ITEMS, STEPS = 40, 8
NAMES = [f"i{n}" for n in range(ITEMS)]
CHAIN = np.random.default_rng(0).permutation(ITEMS)


def walk(start: int, steps: int) -> list[str]:
    """Along a fixed cycle through all items, from its place `start`."""
    return [NAMES[CHAIN[(start + step) % ITEMS]] for step in range(steps)]


def chained(*, shuffled: bool = False, users: int = 80):
    """Users who went along the cycle for a while, or, shuffled, had as many items of no order."""
    rng = np.random.default_rng(1)
    walks = [walk(int(rng.integers(ITEMS)), STEPS) for _ in range(users)]
    if shuffled:
        walks = [list(rng.choice(NAMES, STEPS, replace=False)) for _ in walks]
    logs = "\n".join(f"u{n} " + " ".join(one) for n, one in enumerate(walks))
    return dataset(", ".join([*NAMES, "nobody's"]), logs)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path))


@pytest.fixture(params=sorted(SCORERS))
def fit(request):
    scorer, shape = SCORERS[request.param]

    def build(data, *, plan=PLAN, seed=0, **changed):
        return scorer(data, shape=dataclasses.replace(shape, **changed), plan=plan, seed=seed)

    return build


def hit_rate(scorer) -> float:
    """How often the next item of the chain comes first, over histories that need not be anybody's."""
    hits = []
    for start in range(ITEMS):
        *history, target = walk(start, 5)
        scores = scorer.score([item(name) for name in history])
        scores[[NAMES.index(name) for name in history]] = -np.inf
        hits.append(NAMES[int(np.argmax(scores))] == target)
    return float(np.mean(hits))


def test_a_planted_chain_is_learnt_and_a_shuffled_one_is_not(fit):
    assert hit_rate(fit(chained())) > 0.9
    assert hit_rate(fit(chained(shuffled=True))) < 0.2


def test_a_sampled_softmax_learns_the_chain_too(fit):
    few = dataclasses.replace(PLAN, negatives=2, batch=2, rounds=12)
    assert hit_rate(fit(chained(), plan=few)) > 0.9


def test_the_same_seed_gives_the_same_scores(fit, tmp_path, monkeypatch):
    data, history = chained(), [item("i3"), item("i4")]
    first = fit(data, plan=SHORT).score(history)
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path / "other"))  # so that it is trained again
    torch.manual_seed(99)
    assert fit(data, plan=SHORT).score(history).tolist() == first.tolist()
    assert fit(data, plan=SHORT, seed=1).score(history).tolist() != first.tolist()


def test_training_leaves_the_global_random_state_alone(fit):
    torch.manual_seed(5)
    expected = torch.rand(3).tolist()
    torch.manual_seed(5)
    fit(chained(), plan=SHORT)
    assert torch.rand(3).tolist() == expected


def test_weights_are_kept_and_come_back_with_the_same_scores_and_settings(fit):
    data, history, heard = chained(), [item("i3")], []
    first = fit(data, plan=SHORT)
    with reporting(lambda label, done, total: heard.append((label, total))):
        second = fit(data, plan=SHORT)
    assert heard == []  # nothing was trained
    assert second.score(history).tolist() == first.score(history).tolist()
    assert second.settings == first.settings
    assert [file.suffix for file in (cache_dir() / "networks").iterdir()] == [".safetensors"]


def test_other_logs_settings_or_seeds_are_other_networks(fit):
    fit(chained(), plan=SHORT)
    fit(chained(users=70), plan=SHORT)
    fit(chained(), plan=dataclasses.replace(SHORT, learning_rate=2e-2))
    fit(chained(), plan=SHORT, dropout=0.2)
    fit(chained(), plan=SHORT, seed=1)
    assert len(list((cache_dir() / "networks").iterdir())) == 5


def test_a_damaged_file_is_trained_again(fit):
    data, history = chained(), [item("i3")]
    first = fit(data, plan=SHORT).score(history)
    (file,) = (cache_dir() / "networks").iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert fit(data, plan=SHORT).score(history).tolist() == first.tolist()
    with safe_open(file, "pt") as opened:
        assert "bias" in opened.keys()  # noqa: SIM118


class Killed(Exception):
    pass


def test_a_killed_training_leaves_nothing(fit):
    def kill(label, done, total):
        if done == 1:
            raise Killed

    with reporting(kill), pytest.raises(Killed):
        fit(chained(), plan=SHORT)
    assert not (cache_dir() / "networks").exists()


def test_a_cache_that_cannot_be_written_does_no_harm(fit, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path / "file"))
    assert np.isfinite(fit(chained(), plan=SHORT).score([item("i1")])).all()


def test_unknown_items_are_skipped_and_unseen_ones_stand_last(fit):
    scorer = fit(chained(), plan=SHORT)
    scores = scorer.score([item("i3"), item("new"), item("nobody's"), item("i4")])
    assert scores.shape == (ITEMS + 1,)
    assert scores.tolist() == scorer.score([item("i3"), item("i4")]).tolist()
    assert scores[-1] == scores.min()  # nobody in the logs has "nobody's"


def test_only_the_latest_items_are_read(fit):
    scorer = fit(chained(), plan=SHORT)
    long = [item(name) for name in walk(0, 25)]
    assert scorer.score(long).tolist() == scorer.score(long[-PLAN.length :]).tolist()


def test_an_empty_history_gives_finite_scores_near_popularity(fit):
    data = dataset("a, b, c, d", "\n".join(f"u{n} a b" if n % 4 else f"u{n} a c" for n in range(40)))
    scores = fit(data).score([])
    assert np.isfinite(scores).all()
    assert scores[0] == scores.max()  # everybody begins with a
    assert scores[3] == scores.min()


def test_without_logs_all_is_zero_and_nothing_is_kept(fit):
    scorer = fit(dataset("a, b"))
    assert scorer.score([item("a")]).tolist() == [0.0, 0.0]
    assert scorer.settings["parameters"] == scorer.settings["trained_users"] == 0
    assert not (cache_dir() / "networks").exists()


def test_one_user_is_enough(fit):
    scorer = fit(dataset("a, b", "u a b\n"))
    assert np.isfinite(scorer.score([item("a")])).all()
    assert scorer.settings["validation_users"] == 0
    assert scorer.settings["validation_ndcg@10"] is None
    assert scorer.settings["best_epoch"] == PLAN.patience


def test_few_logs_get_as_many_steps_a_round_as_many(fit):
    data = chained(users=20)  # 15 trained on: one step of 16 windows an epoch
    settings = fit(data, plan=dataclasses.replace(SHORT, steps=7)).settings
    assert settings["epochs_run"] == 2 * 7


def test_settings_say_how_it_was_trained(fit):
    settings = fit(chained()).settings
    assert (settings["trained_users"], settings["validation_users"]) == (70, 10)
    assert settings["dimensions"] == 32
    assert settings["learning_rate"] == PLAN.learning_rate
    assert settings["parameters"] > ITEMS * 32
    assert 1 <= settings["best_epoch"] <= settings["epochs_run"] <= PLAN.rounds
    assert 0.5 < settings["validation_ndcg@10"] <= 1
