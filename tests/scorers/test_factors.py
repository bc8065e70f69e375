"""What ALS and BPR have in common, and what each of them should find in planted logs."""

import numpy as np
import pytest

pytest.importorskip("implicit")

from llmrec_prompt.data import Dataset, leave_last_out
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.progress import reporting
from llmrec_prompt.rank import ScorerRanker, rank
from llmrec_prompt.scorers.als import AlsScorer
from llmrec_prompt.scorers.bpr import BprScorer
from llmrec_prompt.scorers.plain import PopularityScorer

from .small import dataset, item

BOTH = pytest.mark.parametrize("scorer", [AlsScorer, BprScorer])
SMALL = {"factors": 2}
NAMES = [f"{taste}{n}" for taste in "xy" for n in range(10)]


def planted(users=40):
    """Two tastes of ten items; every user likes six of one taste. `new` is in the catalogue only."""
    rng = np.random.default_rng(0)
    lines = [
        f"u{user} " + " ".join(f"{'xy'[user % 2]}{n}" for n in rng.permutation(10)[:6])
        for user in range(users)
    ]
    return dataset(", ".join([*NAMES, "new"]), "\n".join(lines))


DATA = planted()


def history(*names):
    return [item(name) for name in names]


@BOTH
def test_a_taste_is_found_for_a_user_nobody_trained_on(scorer):
    model = scorer(DATA, **SMALL)
    for taste, other in ("xy", "yx"):
        scores = dict(zip([*NAMES, "new"], model.score(history(f"{taste}1", f"{taste}2")), strict=True))
        own = [scores[f"{taste}{n}"] for n in range(3, 10)]
        assert min(own) > max(scores[f"{other}{n}"] for n in range(10))


@BOTH
def test_the_same_seed_gives_the_same_scores(scorer):
    first, again = (scorer(DATA, **SMALL, seed=1).score(history("x1")) for _ in range(2))
    assert first.tolist() == again.tolist()
    assert first.tolist() != scorer(DATA, **SMALL, seed=2).score(history("x1")).tolist()


@BOTH
def test_order_and_repetition_of_a_history_say_nothing(scorer):
    model = scorer(DATA, **SMALL)
    assert model.score(history("x1", "y2")).tolist() == model.score(history("y2", "x1", "y2")).tolist()


@BOTH
def test_unknown_history_items_are_skipped_and_counted(scorer):
    model = scorer(DATA, **SMALL)
    assert model.score(history("x1", "nobody's", "new")).tolist() == model.score(history("x1")).tolist()
    ranking = rank(ScorerRanker(model, DATA), history("x1", "nobody's", "new"), DATA.items)
    assert ranking.provenance.events["history_unknown"] == 2
    clean = rank(ScorerRanker(model, DATA), history("x1"), DATA.items)
    assert "history_unknown" not in clean.provenance.events


@BOTH
def test_a_history_of_strangers_ties_all_and_says_so(scorer):
    model = scorer(DATA, **SMALL)
    assert set(model.score([])) == set(model.score(history("nobody's"))) == {0.0}
    events = rank(ScorerRanker(model, DATA), history("nobody's"), DATA.items).provenance.events
    assert events["all_tied"] == events["history_unknown"] == 1


@BOTH
def test_an_item_nobody_has_is_as_low_as_the_lowest(scorer):
    scores = scorer(DATA, **SMALL).score(history("x1"))
    assert scores[-1] == scores[:-1].min()


@BOTH
def test_without_logs_all_is_zero(scorer):
    assert scorer(dataset("a, b")).score([item("a")]).tolist() == [0.0, 0.0]


@BOTH
def test_settings_say_all_that_matters(scorer):
    given = {"factors": 3, "regularization": 0.5, "iterations": 4, "seed": 7}
    assert scorer(DATA, **given).settings.items() >= given.items()
    for wrong in ({"factors": 0}, {"iterations": 0}, {"regularization": -1}):
        with pytest.raises(ConfigError, match=f"{scorer.name} with"):
            scorer(DATA, **wrong)


@BOTH
def test_progress_is_told(scorer):
    heard = []
    with reporting(lambda label, done, total: heard.append((label, done, total))):
        scorer(DATA, factors=2, iterations=3)
    assert {(label, total) for label, _, total in heard} == {(f"Fitting {scorer.name}", 3)}
    assert [done for _, done, _ in heard] == [0, 1, 2, 3]


def test_folding_in_gives_als_users_what_training_gave_them():
    model = AlsScorer(DATA, factors=8, iterations=30)
    user = DATA.users[0]
    trained = model._model.item_factors @ model._model.user_factors[0]
    folded = model.score(DATA.history_items(user))[:-1]
    assert np.corrcoef(trained[:-1], folded)[0, 1] > 0.99


def test_on_real_data_als_puts_targets_higher_than_popularity_does(shared_data):
    split = leave_last_out(Dataset.load(shared_data("movielens-small")), users=40, seed=0)
    scorer = AlsScorer(split.train, factors=16, iterations=3)
    assert _mean_rank(scorer, split) < _mean_rank(PopularityScorer(split.train), split)


def _mean_rank(scorer, split):
    ranks = []
    for case in split.cases:
        scores = scorer.score([split.train.item(i) for i in case.history])
        target = scores[split.train.index[case.target]]
        ranks.append((scores > target).sum() + (scores == target).sum() / 2)
    return np.mean(ranks)
