import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from llmrec_prompt.data import COLD_LENGTHS, Dataset
from llmrec_prompt.errors import ConfigError, DataError, UnknownName
from llmrec_prompt.evaluate.metrics import compute
from llmrec_prompt.evaluate.protocols import NEGATIVES, PROTOCOLS, Ask, make_exam
from llmrec_prompt.evaluate.runner import answer
from llmrec_prompt.rank import ScorerRanker
from llmrec_prompt.scorers.cooccurrence import CooccurrenceScorer
from llmrec_prompt.scorers.plain import PopularityScorer
from llmrec_prompt.types import Interaction

WORDS = ("red", "green", "blue", "old", "new", "big", "round", "flat")
THINGS = ("cup", "lamp", "chair", "door", "roof")
ITEMS = [
    {"item_id": f"i{n}", "title": f"{a} {b}"} for n, (a, b) in enumerate(itertools.product(WORDS, THINGS))
]
DRAWN = sorted({*NEGATIVES} - {"impressions"})


def crowd(users=60, likes=(1, 3, 7, 11)):
    """The same rows as those whose fingerprints are pinned below."""
    rows = [Interaction(f"u{u}", f"i{(u * k) % 40}", None, float(k)) for u in range(users) for k in likes]
    items = [{"item_id": f"i{n}", "title": f"Title {n}"} for n in range(40)]
    return Dataset.from_rows(items, rows, name="crowd")


@pytest.fixture(scope="module")
def shop():
    """Histories of eight, spread over time, so that every protocol can ask."""
    rows = [
        Interaction(f"u{u}", f"i{(3 * u + 5 * n) % 40}", None, float(u + 9 * n))
        for u in range(60)
        for n in range(8)
    ]
    return Dataset.from_rows(ITEMS, rows, name="shop", domain="shopping")


def test_questions_of_earlier_runs_are_still_asked(tmp_path):
    file = tmp_path / "c.tsv"
    file.write_text("u3\ti1 i2 i5\nu9\ti30 i31\n")
    pinned = {
        "uniform": ("fe3c66294d92cb64", "9c670bff7ddb8704"),
        "popular": ("adaf4e0cb565592e", "9c670bff7ddb8704"),
        str(file): ("5f710ab387ddf52f", "dee3c584cb06dcf5"),
    }
    for negatives, found in pinned.items():
        exam = make_exam(crowd(), Ask("leave-last-out", 12, 8, negatives, 5))
        assert (exam.fingerprint, exam.train.fingerprint) == found


@pytest.mark.parametrize(("protocol", "negatives"), [*itertools.product(PROTOCOLS, DRAWN)])
def test_every_protocol_with_every_kind_of_negatives(shop, protocol, negatives):
    exam = make_exam(shop, Ask(protocol, 10, 6, negatives, 3))
    assert 0 < len(exam.questions) <= 10
    assert exam.facts["protocol"] == protocol
    assert exam.facts["eligible"] >= len(exam.questions)
    for question in exam.questions:
        ids = [item.item_id for item in question.candidates]
        (target,) = exam.targets[question.user]
        history = {item.item_id for item in question.history}
        assert target in ids
        assert len(ids) == len(set(ids)) == (6 if negatives != "full" else len(ids))
        assert not (set(ids) - {target}) & (shop.consumed(question.user) | history)
        if question.user in exam.train.users:
            assert target not in exam.train.consumed(question.user)
    assert make_exam(shop, Ask(protocol, 10, 6, negatives, 3)).fingerprint == exam.fingerprint


@pytest.mark.parametrize("negatives", DRAWN)
def test_a_curve_over_lengths_asks_the_same_users_with_the_same_candidates(shop, negatives):
    exams = {k: make_exam(shop, Ask("cold-user", 12, 6, negatives, 0, k)) for k in (*COLD_LENGTHS, None)}
    whole = exams[None]
    for k, exam in exams.items():
        assert exam.questions.users == whole.questions.users
        assert exam.train.fingerprint == whole.train.fingerprint
        assert not {*exam.train.users} & {*exam.questions.users}
        for question, full in zip(exam.questions, whole.questions, strict=True):
            assert question.candidates == full.candidates
            assert question.history == (
                full.history[len(full.history) - k :] if k is not None else full.history
            )
            assert len(question.history) == (k if k is not None else 7)


def test_full_is_the_whole_catalogue_less_what_the_user_has(shop):
    exam = make_exam(shop, Ask("leave-last-out", 5, negatives="full"))
    for question in exam.questions:
        rest = {item.item_id for item in shop.items} - shop.consumed(question.user) | exam.targets[
            question.user
        ]
        assert {item.item_id for item in question.candidates} == rest
    assert exam.facts["candidates"] is None  # nobody asked for a number


def test_hard_negatives_are_what_the_scorers_would_offer(shop):
    exam = make_exam(shop, Ask("leave-last-out", None, 6, "retrieved"))
    assert exam.facts["retrieved_by"] == ["bm25", "popularity", "co-occurrence"]
    for question in exam.questions:
        ids, targets = [item.item_id for item in question.candidates], exam.targets[question.user]
        met = shop.item_rows(shop.consumed(question.user) - targets)
        for scorer in (PopularityScorer(exam.train), CooccurrenceScorer(exam.train)):
            scores = scorer.score(question.history).copy()
            scores[met] = -1.0
            assert shop.items[int(np.argmax(scores))].item_id in ids
    assert 0 < exam.facts["targets_retrieved"] <= len(exam.questions)


def test_no_place_gives_a_target_away(shop):
    exam = make_exam(shop, Ask("leave-last-out", None, 6, "retrieved"))
    ids = [[item.item_id for item in question.candidates] for question in exam.questions]
    places = [own.index(*exam.targets[user]) for own, user in zip(ids, exam.targets, strict=True)]
    assert {*places} == {*range(6)}


def test_too_few_for_hard_negatives(shop):
    with pytest.raises(
        DataError, match=r"^User 'u\d+' has 32 unseen items in shop; 40 candidates need 39: ask"
    ):
        make_exam(shop, Ask("leave-last-out", 5, 40, "retrieved"))


@pytest.fixture
def news(tmp_path):
    from ..data.test_shown import load, row

    rows = [row(u, "i5 i6", "i8 i9 i4 i3", "i4 i3") for u in "ab"] + [row("c", "i7", "i2 i10", "i2")]
    return load(tmp_path, rows)


def test_impressions_are_ranked_as_shown(news):
    exam = make_exam(news, Ask("leave-last-out", None, negatives="impressions"))
    assert exam.targets["a"] == {"i3", "i4"}
    assert exam.targets["c"] == {"i2"}
    found = {q.user: {item.item_id for item in q.candidates} for q in exam.questions}
    assert found == {"a": {"i3", "i4", "i8", "i9"}, "b": {"i3", "i4", "i8", "i9"}, "c": {"i2", "i10"}}
    assert exam.facts["impressions"] == 3
    assert exam.facts["sizes"] == [2, 4]
    assert exam.fingerprint == make_exam(news, Ask(users=None, negatives="impressions")).fingerprint


def test_both_clicks_count(news):
    exam = make_exam(news, Ask("leave-last-out", None, negatives="impressions"))
    question = next(q for q in exam.questions if q.user == "a")
    ranker = ScorerRanker(PopularityScorer(exam.train), exam.train)
    ids = answer(ranker, question, 0).ids
    values = compute(ids, exam.targets["a"], ["recall@4", "precision@4"])
    assert values == {"recall@4": 1.0, "precision@4": 0.5}


def test_a_cold_news_domain(news):
    exam = make_exam(news, Ask("cold-domain", None, negatives="impressions", history=1))
    assert not exam.train.has_logs
    assert [len(q.history) for q in exam.questions] == [1, 1, 1]


@pytest.mark.parametrize("protocol", ["global-time", "cold-item"])
def test_impressions_have_their_own_targets(protocol):
    with pytest.raises(
        ConfigError, match=rf"^Impressions have targets of their own and {protocol} has others\."
    ):
        Ask(protocol, negatives="impressions")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"users": 0}, "0 users with 20 candidates cannot be meant: at least 1 and 2."),
        ({"candidates": 1}, "200 users with 1 candidates cannot be meant: at least 1 and 2."),
        ({"history": -1}, "A history of -1 items cannot be meant: at least 0."),
        (
            {"protocol": "cold-user", "history": 6},
            "cold-user asks users with at least 5 items, so a history of 6 would not be the same for all: "
            "at most 5.",
        ),
    ],
)
def test_what_cannot_be_meant(wrong, message):
    with pytest.raises(ConfigError) as caught:
        Ask(**wrong)
    assert str(caught.value) == message


def test_unknown_names(shop):
    with pytest.raises(UnknownName, match=r"^Unknown protocol 'global_time'\. Did you mean 'global-time'\?"):
        Ask("global_time")
    with pytest.raises(ConfigError) as caught:
        make_exam(shop, Ask(negatives="hard"))
    assert str(caught.value) == (
        "Negatives 'hard' are neither full nor impressions nor popular nor retrieved nor uniform nor a "
        "candidates file."
    )


def test_nothing_to_ask(shop, tmp_path):
    with pytest.raises(DataError, match=r"^crowd has no interactions, so there is nothing to evaluate on\.$"):
        make_exam(crowd(0), Ask())
    (tmp_path / "c.tsv").write_text("nobody\ti1 i2\n")
    with pytest.raises(DataError, match=r"None of .*c\.tsv has .*; 'nobody', for one, is no user of shop\.$"):
        make_exam(shop, Ask(negatives=str(tmp_path / "c.tsv")))
    (tmp_path / "c.tsv").write_text("")
    with pytest.raises(DataError, match=r"c\.tsv is empty"):
        make_exam(shop, Ask(negatives=str(tmp_path / "c.tsv")))


def test_what_a_user_has_met_is_no_candidate_of_a_file(shop, tmp_path):
    drawn, path = make_exam(shop, Ask(users=4, candidates=6)), tmp_path / "c.tsv"
    lines, added = [], 0
    for question in drawn.questions:
        (target,) = drawn.targets[question.user]
        met = sorted(shop.consumed(question.user) - {target})[:3]
        added += len(met)
        ids = [item.item_id for item in question.candidates]
        lines.append(f"{question.user}\t{' '.join([*ids[:2], *met, *ids[2:]])}\n")
    path.write_text("".join(lines))
    exam = make_exam(shop, Ask(users=4, negatives=str(path)))
    assert exam.fingerprint == drawn.fingerprint
    assert exam.facts["met_left_out"] == added == 12


def test_a_file_with_nothing_but_what_a_user_has_met(shop, tmp_path, caplog):
    path = tmp_path / "c.tsv"
    path.write_text(f"u5\t{' '.join(sorted(shop.consumed('u5')))}\n")
    with pytest.raises(DataError, match=r"User 'u5' has met all 8 candidates .* nothing is left"):
        make_exam(shop, Ask(negatives=str(path)))
    drawn = make_exam(shop, Ask(users=None, candidates=6))
    (other, *_) = (question for question in drawn.questions if question.user != "u5")
    ids = " ".join(item.item_id for item in other.candidates)
    path.write_text(f"{path.read_text()}{other.user}\t{ids}\n")
    exam = make_exam(shop, Ask(negatives=str(path)))
    assert [question.user for question in exam.questions] == [other.user]
    assert (exam.facts["users_left_out"], exam.facts["met_left_out"]) == (1, 0)
    assert caplog.messages == ["Not asked: 1 of 2 users, who have met all their candidates."]


def test_the_guide_runs():
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    section = page.split("## Protocols and negatives\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 3
    space = {}
    for code in blocks:
        exec(compile(code, "docs/evaluation.md", "exec"), space)
