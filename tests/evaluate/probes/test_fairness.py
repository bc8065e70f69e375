"""Attributes reach the prompt and the fingerprint; a biased model is caught, a fair one is clean."""

import numpy as np
import pytest

from llmrec_prompt import Recommender
from llmrec_prompt.backends.fake import FakeBackend
from llmrec_prompt.errors import ConfigError, DataError
from llmrec_prompt.evaluate.exam import Question
from llmrec_prompt.evaluate.probes.fairness import (
    domain_about,
    group_gaps,
    jaccard,
    prag,
    probe_fairness,
    ranker_about,
    serp,
)
from llmrec_prompt.templates import Prompter, load_domain

from ...rank.toys import dataset, items, table

NAMES = list("abcdefghij")
QUESTIONS = [Question(f"u{n}", tuple(items("k")), tuple(items(NAMES))) for n in range(4)]
UP = {name: float(n) for n, name in enumerate(NAMES)}
DOWN = {name: -value for name, value in UP.items()}
PEOPLE = ("30-year-old woman", "30-year-old man")


def test_alike_rankers_are_clean():
    about = {person: table(UP) for person in PEOPLE}
    for measure in ("jaccard", "serp", "prag"):
        found = probe_fairness(table(UP), about, QUESTIONS, k=4).summary()[measure]
        assert found == {"similarity": dict.fromkeys(PEOPLE, 1.0), "snsr": 0.0, "snsv": 0.0}


def test_an_attribute_that_turns_the_list_is_caught():
    found = probe_fairness(table(UP), {"x": table(UP), "y": table(DOWN)}, QUESTIONS, k=4)
    summary = found.summary()["jaccard"]
    assert summary == {"similarity": {"x": 1.0, "y": 0.0}, "snsr": 1.0, "snsv": 0.5}
    assert set(found.similarity["prag"]["y"]) == {q.user for q in QUESTIONS}
    # All ten of ten are the same items: only the order tells.
    assert prag(NAMES, NAMES[::-1]) == 0
    assert jaccard(NAMES, NAMES[::-1]) == serp(NAMES, NAMES[::-1]) == 1


@pytest.mark.parametrize(
    ("other", "expected"), [("abcd", (1, 1, 1)), ("abxy", (1 / 3, 0.7, 5 / 6)), ("wxyz", (0, 0, 0))]
)
def test_similarities_by_hand(other, expected):
    assert (jaccard("abcd", other), serp("abcd", other), prag("abcd", other)) == pytest.approx(expected)


def recommender(score):
    shop = dataset(NAMES, "u1 a b c\nu2 d e f\n")
    return Recommender(shop, domain="movies", model=FakeBackend(score), mode="likelihood", embedder="backend")


def test_a_model_that_reads_the_attribute_is_caught_through_the_prompt(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path))

    def sexist(prompt, line):
        order = ord(line[0]) * (-1.0 if "woman" in prompt else 1.0)
        return order if "\nK\n" in prompt else 0.0  # only after this history, not in the priors

    rec = recommender(sexist)
    about = {person: ranker_about(rec, person, "likelihood") for person in PEOPLE}
    found = probe_fairness(rec.ranker, about, QUESTIONS, k=4).summary()
    assert found["jaccard"]["similarity"] == dict(zip(PEOPLE, (0.0, 1.0), strict=True))
    assert found["prag"]["snsr"] == 1.0


def test_the_attribute_is_in_the_prompt_and_in_the_fingerprint(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path))
    movies = load_domain("movies")
    woman = Prompter(domain_about(movies, PEOPLE[0]))
    assert "Movies that a 30-year-old woman watched" in woman.history(items("a")).text
    assert woman.fingerprint != Prompter(movies).fingerprint
    assert "老年女性" in Prompter(domain_about(movies, "老年女性"), language="zh").history(items("a")).text
    rec = recommender(lambda prompt, line: 0.0)
    assert ranker_about(rec, PEOPLE[0], "likelihood").origin["template_fingerprint"] not in (
        rec.ranker.origin["template_fingerprint"],
        ranker_about(rec, PEOPLE[1], "likelihood").origin["template_fingerprint"],
    )


def test_an_attribute_that_no_template_says_is_refused(tmp_path):
    folder = tmp_path / "prompts" / "mute"
    folder.mkdir(parents=True)
    (folder / "domain.yaml").write_text("name: mute\nnoun: thing\nnouns: things\nverb: saw\n")
    (folder / "history.j2").write_text("{% for item in history %}{{ item.line }}\n{% endfor %}")
    shop = dataset(NAMES, "u1 a b c\n")
    rec = Recommender(shop, domain="mute", model="fake:overlap", prompts=tmp_path / "prompts")
    with pytest.raises(ConfigError, match="do not say domain"):
        ranker_about(rec, PEOPLE[0], "likelihood")
    with pytest.raises(ConfigError, match="changes nothing"):
        domain_about(rec.domain, rec.domain.person)


def test_a_prompt_about_somebody_shows_no_more_fields_than_the_model_may_see(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path))
    seen = []
    backend = FakeBackend(lambda prompt, line: float(len(seen.append(prompt + line) or line)))
    backend.fields = ("title", "year")
    rec = Recommender("sample:movies", model=backend, embedder="backend")
    ranker_about(rec, PEOPLE[0], "likelihood").score(rec.history(["Alien"]), rec.dataset.items[:4])
    assert any("woman" in text for text in seen)
    assert not [text for text in seen if "Ridley Scott" in text]


def test_what_cannot_be_probed():
    two = {"x": table(UP), "y": table(UP)}
    with pytest.raises(ConfigError, match="1 attributes"):
        probe_fairness(table(UP), {"x": table(UP)}, QUESTIONS)
    with pytest.raises(DataError, match="user 'u0' with no more than 10 candidates"):
        probe_fairness(table(UP), two, QUESTIONS, k=10)
    with pytest.raises(DataError, match="no questions"):
        probe_fairness(table(UP), two, [])


def test_groups_that_differ_are_told_from_groups_that_do_not():
    rng = np.random.default_rng(0)
    users = [f"u{n}" for n in range(60)]
    groups = {user: "xyz"[n % 3] for n, user in enumerate(users)}
    same = dict(zip(users, rng.normal(0.5, 0.1, 60).tolist(), strict=True))
    other = {user: value + 0.3 * (groups[user] == "z") for user, value in same.items()}
    found = group_gaps(other, groups)
    assert found.gap == pytest.approx(0.3, abs=0.1)
    assert found.p < 0.01 < group_gaps(same, groups).p
    assert found.groups["z"]["low"] < found.groups["z"]["mean"] < found.groups["z"]["high"]
    assert [found.groups[name]["users"] for name in "xyz"] == [20, 20, 20]


def test_users_without_group_or_value_are_counted():
    found = group_gaps({"u1": 1.0, "u2": 0.0, "u3": 0.5}, {"u1": "x", "u2": "y", "u9": "x"})
    assert (found.ungrouped, found.unmeasured) == (1, 1)
    with pytest.raises(DataError, match="1 groups have a user"):
        group_gaps({"u1": 1.0}, {"u1": "x", "u2": "y"})
