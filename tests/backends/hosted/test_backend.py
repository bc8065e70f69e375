"""What the hosted backend says is what the server's model says, however the server tells it."""

import numpy as np
import pytest

from llmrec_prompt.backends import Backend, ScoreRequest
from llmrec_prompt.backends.fake import FakeBackend
from llmrec_prompt.errors import AdapterError, AnswerError, BackendError, ContextOverflow, Unsupported
from llmrec_prompt.rank import (
    EncoderRanker,
    LabelRanker,
    LikelihoodRanker,
    ListedRanker,
    YesNoRanker,
    combine,
    rank,
)

from ...rank.toys import dataset, items, prompter
from .server import LETTERS, MODEL, VOCABULARY, Ways, best_first, likelihood, logprob

PROMPT = "Things that a person saw, in order:\nA\nB\n"
HISTORY, CANDIDATES = items(["own", "two"]), items("abcdefgh")
CHAT_ONLY = {"completions": False, "embeddings": False}
KINDS = {
    "legacy": {},
    "chat shape": {"shape": "chat"},
    "prompt_logprobs": {"echo": "refused", "prompt_logprobs": True},
    "tokenizer": {"tokenizer": True},
}


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def served(request, hosted):
    return hosted(Ways(**request.param))


def local():
    """The same model in this process."""
    return FakeBackend(likelihood)


def test_it_is_a_backend(hosted):
    _, backend = hosted()
    assert isinstance(backend, Backend)
    assert (backend.info.ref, backend.info.engine, backend.info.context) == (f"openai:{MODEL}", "openai", 512)


def test_scores_are_the_models(served):
    _, backend = served
    found = backend.score(
        [ScoreRequest(PROMPT, ["c d\n", "e\n"]), ScoreRequest("x\n", []), ScoreRequest("y\n", ["z"])]
    )
    assert [[s.tokens for s in row] for row in found] == [[3, 2], [], [1]]
    assert [s.logprob for s in found[0]] == pytest.approx([likelihood(PROMPT, t) for t in ("c d\n", "e\n")])
    assert found[2][0].logprob == pytest.approx(logprob("y\n", "z"))


def test_a_continuation_that_changes_the_prompts_last_token_is_scored_from_there(hosted):
    """As in the local backends: "B" and "C" after one another are one token here."""
    _, backend = hosted()
    (score,) = backend.score([ScoreRequest("A B", ["C D"])])[0]
    assert score.tokens == 2
    assert score.logprob == pytest.approx(logprob("A", " BC") + logprob("A BC", " D"))


def test_choices_are_the_models(served):
    _, backend = served
    prompt = f"{PROMPT}Answer:"
    labels = [" A", " B", " C"]
    (choice,) = backend.choose([prompt], labels)
    raw = np.array([logprob(prompt, label) for label in labels])
    assert choice.logprobs == pytest.approx(raw - np.logaddexp.reduce(raw))
    assert choice.mass == pytest.approx(np.exp(raw).sum())
    assert choice.outside == frozenset()


def test_a_label_outside_the_top_is_a_bound(hosted):
    _, backend = hosted(Ways(top=20))
    prompt = f"{PROMPT}Answer:"
    (choice,) = backend.choose([prompt], LETTERS)
    raw = np.array([logprob(prompt, label) for label in LETTERS])
    bound = sorted((logprob(prompt, token) for token in VOCABULARY), reverse=True)[19]
    expected = np.maximum(raw, bound)
    assert choice.outside == {i for i, value in enumerate(raw) if value < bound}
    assert 0 < len(choice.outside) < len(LETTERS)
    assert choice.logprobs == pytest.approx(expected - np.logaddexp.reduce(expected))
    assert choice.mass == pytest.approx(np.exp(raw[raw >= bound]).sum())


def test_labels_of_a_chat_stand_without_their_space(hosted):
    server, backend = hosted(Ways(**CHAT_ONLY))
    (choice,) = backend.choose([f"{PROMPT}Answer:"], [" A", " B"])
    assert choice.outside == frozenset()
    assert server.bodies()[0]["messages"] == [{"role": "user", "content": f"{PROMPT}Answer:"}]


def test_labels_are_seen_to_be_one_token_where_the_server_can_say(hosted):
    _, backend = hosted(Ways(tokenizer=True))
    with pytest.raises(BackendError, match="' A B' is not exactly one token"):
        backend.choose(["Answer:"], [" A B", " C"])
    with pytest.raises(BackendError, match="the same token"):
        backend.choose(["Answer:"], [" A", " A"])


def test_where_tokens_are_guessed_there_are_no_labels_but_letters(hosted):
    many = items([f"t{i}" for i in range(27)])
    _, guessing = hosted()
    with pytest.raises(Unsupported, match=r"27 candidates.*26 labels as one token.*--retrieve 26"):
        LabelRanker(guessing, prompter()).score(HISTORY, many)
    assert len(combine(LabelRanker(guessing, prompter()).score(HISTORY, many[:26]))) == 26
    _, counting = hosted(Ways(tokenizer=True))
    assert len(combine(LabelRanker(counting, prompter()).score(HISTORY, many))) == 27


def test_every_mode_ranks_as_the_same_model_does_locally(hosted):
    _, backend = hosted(Ways(top=1000))
    for build in (
        lambda b: LikelihoodRanker(b, prompter(), peers=[items(["one"])]),
        lambda b: LabelRanker(b, prompter()),
        lambda b: YesNoRanker(b, prompter()),
    ):
        here = rank(build(local()), HISTORY, CANDIDATES)
        there = rank(build(backend), HISTORY, CANDIDATES)
        assert there.ids == here.ids
        assert [r.score for r in there.recommendations] == pytest.approx(
            [r.score for r in here.recommendations]
        )
    ranking = rank(ListedRanker(backend, prompter()), HISTORY, CANDIDATES)
    assert "".join(ranking.ids) == "hgfedcba"
    assert not ranking.provenance.events


def test_vectors_come_back_in_order(hosted):
    server, backend = hosted()
    texts = [f"text {i}" for i in range(100)]
    found = backend.embed(texts)
    assert found.shape == (100, 8)
    assert sorted(len(body["input"]) for body in server.bodies("/embeddings")) == [36, 64]
    assert np.array_equal(backend.embed(texts[70:71])[0], found[70])
    assert backend.embed([]).shape == (0, 8)


def test_a_text_that_is_too_long_is_an_overflow_and_history_is_dropped(hosted):
    models = [{"id": MODEL, "max_model_len": 40}]
    _, backend = hosted(Ways(models=models))
    with pytest.raises(ContextOverflow) as caught:
        backend.choose(["word " * 60], [" A", " B"])
    assert (caught.value.needed, caught.value.available) == (61, 40)
    scored = LabelRanker(backend, prompter()).score(items([f"seen{i}" for i in range(10)]), items("ab"))
    assert scored.events["history_dropped"] > 0
    assert scored.settings["history_shown"] == 10 - scored.events["history_dropped"]


def test_usage_counts_what_was_paid_and_what_the_servers_cache_had(hosted):
    _, backend = hosted(Ways(cached=2))
    before = backend.usage.evaluated, backend.usage.reused
    backend.generate([{"role": "user", "content": "one two three"}])
    assert (backend.usage.evaluated - before[0], backend.usage.reused - before[1]) == (3 - 2 + 5, 2)


def test_refusals_and_answers_that_are_none_are_counted_and_tie_all(hosted):
    _, backend = hosted(Ways(refuses=True))
    with pytest.raises(AnswerError, match="refused: 'I cannot help"):
        backend.generate([{"role": "user", "content": "x"}])
    events = rank(ListedRanker(backend, prompter()), HISTORY, CANDIDATES).provenance.events
    assert events["answer_refused"] == events["unusable_answer"] == events["all_tied"] == 1


def test_a_model_that_ignores_the_schema_is_read_strictly(hosted):
    _, backend = hosted(Ways(answer=lambda prompt: '{"ranking": [3, 3, 99]}'))
    events = rank(ListedRanker(backend, prompter()), HISTORY, CANDIDATES).provenance.events
    assert (events["listed_duplicate"], events["listed_unknown"], events["listed_missing"]) == (1, 1, 7)
    _, words = hosted(Ways(answer=lambda prompt: f'Here: {{"ranking": {best_first(prompt)}}}'))
    ranking = rank(ListedRanker(words, prompter()), HISTORY, CANDIDATES)
    assert ranking.provenance.events == {"answer_not_json": 1}
    assert "".join(ranking.ids) == "hgfedcba"


@pytest.mark.parametrize(("tokenizer", "penalty"), [(True, 1.0), (False, None)])
def test_repetition_is_not_held_against_a_list_where_the_servers_word_for_it_is_known(
    hosted, tokenizer, penalty
):
    server, backend = hosted(Ways(tokenizer=tokenizer))
    rank(ListedRanker(backend, prompter()), HISTORY, CANDIDATES)
    assert server.bodies("/chat/completions")[-1].get("repeat_penalty") == penalty


def test_thoughts_before_a_list_are_no_part_of_it(hosted):
    _, backend = hosted(Ways(thinks="always"))
    assert "".join(rank(ListedRanker(backend, prompter()), HISTORY, CANDIDATES).ids) == "hgfedcba"


def test_an_adapter_is_a_models_name_or_a_field_of_the_request(hosted, tmp_path):
    models = [{"id": MODEL}, {"id": "movies", "parent": MODEL}]
    server, backend = hosted(Ways(models=models))
    backend.use(str(tmp_path / "movies"))
    backend.choose(["Answer:"], [" A", " B"])
    backend.use(None)
    backend.choose(["Answer:"], [" A", " B"])
    assert [body["model"] for body in server.bodies()] == ["movies", MODEL]
    with pytest.raises(AdapterError, match="no adapter 'books'; it has: movies"):
        backend.use("books")

    lora = [
        {"id": 0, "path": "/x/movies.gguf", "scale": 1.0},
        {"id": 1, "path": "/x/books.gguf", "scale": 1.0},
    ]
    server, backend = hosted(Ways(lora=lora))
    for adapter in (None, "books"):
        backend.use(adapter)
        backend.choose(["Answer:"], [" A", " B"])
    bodies = server.bodies()
    assert [[a["scale"] for a in body["lora"]] for body in bodies] == [[0.0, 0.0], [0.0, 1.0]]
    assert all(body["cache_prompt"] is False for body in bodies)


def test_without_adapters_none_can_be_used(hosted):
    _, backend = hosted()
    with pytest.raises(Unsupported, match="cannot adapters"):
        backend.use("movies")


def test_the_encoder_mode_goes_through_embeddings(hosted):
    _, backend = hosted()
    data = dataset("abcdefgh")
    scored = EncoderRanker(backend, prompter(), data).score(HISTORY, CANDIDATES)
    assert np.isfinite(combine(scored)).all()
    assert len(set(combine(scored))) == 8
