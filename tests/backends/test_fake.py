import numpy as np
import pytest

from llmrec_prompt.backends.base import ScoreRequest, require
from llmrec_prompt.backends.fake import FakeBackend
from llmrec_prompt.backends.loading import load_backend
from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import BackendError, ContextOverflow, UnknownName


def logprobs(backend, prompt, *texts):
    return [s.logprob for s in backend.score([ScoreRequest(prompt, texts)])[0]]


def test_any_function_of_two_texts_is_a_model() -> None:
    backend = FakeBackend(lambda prompt, text: -float(len(prompt) + len(text)))
    assert logprobs(backend, "abc", "d", "ef") == [-4, -5]


def test_constant_scores_all_alike() -> None:
    assert len(set(logprobs(load_backend("fake:constant"), "a", "b", "c d"))) == 1


def test_random_depends_on_prompt_and_text_alone() -> None:
    backend = load_backend("fake:random")
    texts = [f"title {i}" for i in range(50)]
    first = logprobs(backend, "one", *texts)
    assert len(set(first)) == 50
    assert first == logprobs(load_backend("fake:random"), "one", *texts)
    assert first != logprobs(backend, "two", *texts)
    assert all(-2 <= value < -1 for value in first)


def test_overlap_prefers_shared_words() -> None:
    near, far = logprobs(load_backend("fake:overlap"), "Alien Brazil", "alien film", "some film")
    assert near > far


def test_oracle_knows_the_last_item() -> None:
    dataset, backend = Dataset.load("sample:movies"), load_backend("fake:oracle:sample:movies")
    known = 0
    for user in list(dataset.users)[:20]:
        titles = [" ".join(item.title.split()) for item in dataset.history_items(user)]
        if len(titles) < 3:
            continue
        right, wrong = logprobs(backend, "History:\n" + "\n".join(titles[:-1]) + "\n", titles[-1], "No such")
        known += right > wrong
    assert known > 10


@pytest.mark.parametrize("name", ["fake:oracl", "fake:random:x", "fake:oracle:", "fake:oracle"])
def test_unknown_fakes(name: str) -> None:
    with pytest.raises(UnknownName, match="fake:random"):
        load_backend(name)


def test_answers_are_fixed_or_called() -> None:
    assert FakeBackend(lambda p, t: 0.0, answer={"a": 1}).generate([{"role": "user", "content": "x"}]) == {
        "a": 1
    }
    echo = FakeBackend(lambda p, t: 0.0, answer=lambda messages: messages[-1]["content"])
    assert echo.generate([{"role": "user", "content": "x"}]) == "x"


def test_limits_are_those_of_real_models() -> None:
    backend = load_backend("fake:constant", context=3)
    with pytest.raises(ContextOverflow, match="needs 4 tokens but the context holds 3"):
        logprobs(backend, "a b", "c d")
    with pytest.raises(BackendError):
        logprobs(backend, "a", "")
    with pytest.raises(BackendError):
        logprobs(backend, "", "a")


def test_embeddings_are_bags_of_words() -> None:
    a, b, c = load_backend("fake:constant").embed(["Alien film", "film ALIEN", "Brazil"])
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_everything_a_mode_may_require() -> None:
    for capability in ("score", "choose", "generate", "schema", "embed", "adapters"):
        require(load_backend("fake:random"), capability, wanted_by="a test")
    backend = load_backend("fake:random")
    backend.use("some/adapter")
    assert backend.adapter == "some/adapter"
