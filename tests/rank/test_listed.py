import dataclasses
import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec_prompt.backends.fake import FakeBackend
from llmrec_prompt.errors import BackendError, DataError, Unsupported
from llmrec_prompt.rank import ListedRanker, rank
from llmrec_prompt.rank.listed import list_schema, read_places
from llmrec_prompt.recommender import Recommender
from llmrec_prompt.types import Item

from .toys import items, prompter

HISTORY, CANDIDATES = items(["own", "two"]), items("abcdef")


def numbered(prompt):
    """Title to number, as the prompt lists them."""
    rows = [line.partition(". ") for line in prompt.rpartition("Numbered things:\n")[2].splitlines()]
    return {title: int(number) for number, _, title in rows}


class Answering(FakeBackend):
    """Answers with what a function makes of the listed candidates; remembers what it was asked."""

    def __init__(self, function, *, schema=True):
        super().__init__(lambda prompt, text: -1.0, answer=lambda messages: function(self._listed(messages)))
        self.asked = []
        if not schema:
            self.info = dataclasses.replace(self.info, can=self.info.can - {"schema"})

    def _listed(self, messages):
        return numbered(messages[0]["content"])

    def generate(self, messages, *, schema=None, max_tokens=256):
        self.asked.append((messages[0]["content"], schema, max_tokens))
        return super().generate(messages, schema=schema, max_tokens=max_tokens)


def backwards(listed):
    return {"ranking": [listed[title] for title in sorted(listed, reverse=True)]}


def ranked(function, **options):
    ranking = rank(ListedRanker(Answering(function, **options), prompter()), HISTORY, CANDIDATES)
    return "".join(ranking.ids), dict(ranking.provenance.events)


def test_the_answer_is_the_order():
    assert ranked(backwards) == ("fedcba", {})


def test_an_answer_in_words_around_json_is_read_where_there_is_no_schema():
    said = lambda listed: f"Sure! {json.dumps(backwards(listed))} Enjoy."  # noqa: E731
    assert ranked(said, schema=False) == ("fedcba", {})
    backend = Answering(said, schema=False)
    scored = ListedRanker(backend, prompter()).score(HISTORY, CANDIDATES)
    assert backend.asked[0][1] is None
    assert "not kept to a schema" in scored.settings["degraded"]


def test_the_schema_holds_the_numbers_there_are():
    backend = Answering(backwards)
    ListedRanker(backend, prompter()).score(HISTORY, CANDIDATES)
    (prompt, schema, _), *more = backend.asked
    assert not more
    assert schema == list_schema(6)
    assert schema["properties"]["ranking"]["items"]["enum"] == [1, 2, 3, 4, 5, 6]
    assert set(numbered(prompt)) == set("ABCDEF")
    many = list_schema(1_001)["properties"]["ranking"]  # more than an enum may hold
    assert (many["items"], many["minItems"]) == ({"type": "integer", "minimum": 1, "maximum": 1_001}, 1_001)


def test_what_is_left_out_comes_last_in_hashed_order_and_is_counted():
    ids, events = ranked(lambda listed: {"ranking": [listed["D"], listed["B"]]})
    assert ids[:2] == "db"
    assert sorted(ids[2:]) == list("acef")
    assert events == {"listed_missing": 4, "tied": 4}


def test_the_fill_does_not_follow_the_order_given():
    backend = Answering(lambda listed: {"ranking": [listed["D"]]})
    there = rank(ListedRanker(backend, prompter()), HISTORY, CANDIDATES).ids
    back = rank(ListedRanker(backend, prompter()), HISTORY, CANDIDATES[::-1]).ids
    assert there == back
    assert backend.asked[0] == backend.asked[1]


def test_candidates_are_shown_in_an_order_of_the_seed():
    prompts = set()
    for seed in range(6):
        backend = Answering(backwards)
        assert rank(ListedRanker(backend, prompter(), seed=seed), HISTORY, CANDIDATES).ids[0] == "f"
        prompts.add(backend.asked[0][0])
    assert len(prompts) > 3


@pytest.mark.parametrize(
    "answer",
    [
        "I cannot help with that.",
        {},
        {"ranking": "1, 2"},
        [],
        {"ranking": []},
        {"ranking": [0, 7, True, "1"]},
    ],
)
def test_an_answer_without_a_number_is_unusable_and_all_are_tied(answer):
    events = ranked(lambda listed: answer)[1]
    assert events["unusable_answer"] == events["all_tied"] == 1
    assert events["listed_missing"] == 6


def test_an_empty_history_is_refused():
    with pytest.raises(DataError, match="'listed' has nothing to ask"):
        ListedRanker(Answering(backwards), prompter()).score([], CANDIDATES)


def test_a_backend_that_cannot_generate_is_refused_when_built():
    backend = Answering(backwards)
    backend.info = dataclasses.replace(
        backend.info, can=frozenset({"score"}), remarks={"generate": "only embeddings are served"}
    )
    with pytest.raises(Unsupported, match=r"'generate'.*can do: score\. Found: only embeddings are served"):
        ListedRanker(backend, prompter())


ENTRIES = st.lists(st.one_of(st.integers(-3, 12), st.text(max_size=2), st.none(), st.booleans(), st.floats()))


@given(ENTRIES, st.integers(1, 9))
def test_places_are_a_full_order_whatever_the_model_says(entries, count):
    events = Counter()
    places = read_places({"ranking": entries}, count, events)
    named = sorted(place for place in places if place <= count - events["listed_missing"])
    assert len(places) == count
    assert named == list(range(1, len(named) + 1))
    assert len(named) + events["listed_missing"] == count
    assert len(named) + events["listed_unknown"] + events["listed_duplicate"] == len(entries)


@given(st.text(max_size=40))
def test_any_text_is_read_without_a_failure(text):
    events = Counter()
    assert len(read_places(text, 3, events)) == 3
    assert 0 <= events["listed_missing"] <= 3


@given(st.permutations(range(1, 8)))
def test_a_full_list_is_read_as_it_stands(order):
    events = Counter()
    places = read_places({"ranking": list(order)}, 7, events)
    assert [order.index(number) + 1 for number in range(1, 8)] == places
    assert not +events


def test_a_recommendation_made_of_nothing_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path))
    backend = FakeBackend(lambda prompt, text: -1.0, answer="No.")
    recommender = Recommender("sample:movies", model=backend, mode="listed", embedder="backend")
    with pytest.raises(BackendError, match="answered nothing that mode 'listed' can use"):
        recommender.recommend(["Alien (1979)"], k=3)


def test_cut_titles_are_counted_once_each():
    long = Item(item_id="long", title="word " * 200)
    backend = FakeBackend(lambda prompt, text: -1.0, answer={"ranking": list(range(1, 8))})
    events = ListedRanker(backend, prompter()).score([*HISTORY, long], [*CANDIDATES, long]).events
    assert events == {"text_cut": 2}
