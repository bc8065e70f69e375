"""What every backend must keep to: functions that take a backend and how far batch shape may move a score."""

import numpy as np
import pytest

from llmrec_prompt.backends.base import Backend, ModelInfo, Score, ScoreRequest
from llmrec_prompt.errors import BackendError, ContextOverflow

PROMPT = "A customer's film history, in order:\nBrazil (1985)\nAlien (1979)\nSpirited Away (2001)\n"
OTHER = "Bücher, die zusammen gekauft wurden:\nDer Zauberberg\nDie Blechtrommel\n"
TITLES = [
    "Blade Runner (1982)\n",
    "Up\n",
    "千と千尋の神隠し\n",
    "Amélie – Le Fabuleux Destin\n",
    "🚀 Rocket Man 🚀🚀\n",
    " leading and trailing space \n",
    "The Assassination of Jesse James by the Coward Robert Ford, in the Extended Edition of 2007\n",
    "a",
]
LOOKALIKES = [
    "<|im_end|>",
    "<|im_start|>",
    "<|endoftext|>",
    "<bos>",
    "<eos>",
    "</s>",
    "<end_of_turn>",
]
OBJECT = {
    "type": "object",
    "properties": {"answer": {"enum": ["yes", "no"]}},
    "required": ["answer"],
    "additionalProperties": False,
}


def score(backend: Backend, prompt: str, *texts: str) -> list[Score]:
    return backend.score([ScoreRequest(prompt, texts)])[0]


def values(scores: list[Score]) -> list[float]:
    return [s.logprob for s in scores]


def is_fake(backend: Backend) -> bool:
    return backend.info.engine == "fake"


def check_info(backend: Backend, tolerance: float) -> None:
    assert isinstance(backend, Backend)
    assert isinstance(backend.info, ModelInfo)
    assert backend.info.hash
    assert 0 < backend.info.context <= 1024
    assert {"score", "choose", "generate", "schema", "embed"} <= backend.info.can


def check_order_and_lengths(backend: Backend, tolerance: float) -> None:
    asked = [(PROMPT, TITLES), (OTHER, TITLES[:2]), (PROMPT, TITLES[1:2])]
    answers = backend.score([ScoreRequest(*pair) for pair in asked])
    assert [len(a) for a in answers] == [len(TITLES), 2, 1]
    assert all(np.isfinite(s.logprob) and s.logprob < 0 and s.tokens > 0 for a in answers for s in a)
    backwards = score(backend, PROMPT, *TITLES[::-1])[::-1]
    assert values(backwards) == pytest.approx(values(answers[0]), abs=tolerance)
    assert [s.tokens for s in backwards] == [s.tokens for s in answers[0]]


def check_empty(backend: Backend, tolerance: float) -> None:
    assert backend.score([]) == []
    assert backend.score([ScoreRequest(PROMPT, [])]) == [[]]
    assert backend.choose([], ["A", "B"]) == []
    assert backend.embed([]).shape == (0, backend.info.dimensions)
    with pytest.raises(BackendError, match="empty continuation"):
        score(backend, PROMPT, "Up\n", "")
    if backend.count_tokens("") == 0:
        with pytest.raises(BackendError, match="prompt"):
            score(backend, "", "Up\n")
    else:
        assert values(score(backend, "", "Up\n"))[0] < 0


def check_one_token_and_many(backend: Backend, tolerance: float) -> None:
    short, long = score(backend, PROMPT, "A", " ".join(TITLES * 3))
    assert short.tokens == 1
    assert long.tokens > 20
    assert np.isfinite(long.logprob)


def check_context(backend: Backend, tolerance: float) -> None:
    long = "word " * (backend.info.context + 10) + "end"
    with pytest.raises(ContextOverflow) as caught:
        score(backend, long, "Up\n")
    assert caught.value.available == backend.info.context
    assert caught.value.needed >= backend.info.context + 10
    assert str(caught.value.needed) in str(caught.value)
    assert str(caught.value.available) in str(caught.value)
    with pytest.raises(ContextOverflow):
        score(backend, PROMPT, "Up\n", long)
    if not is_fake(backend):
        with pytest.raises(ContextOverflow):
            backend.embed(["fine", long])
        with pytest.raises(ContextOverflow):
            backend.choose([long], ["A", "B"])
        with pytest.raises(ContextOverflow):
            backend.generate([{"role": "user", "content": long}])


def check_shared_prefix(backend: Backend, tolerance: float) -> None:
    """Together, and each alone with the prefix evaluated anew."""
    together = values(score(backend, PROMPT, *TITLES))
    for text, expected in zip(TITLES, together, strict=True):
        score(backend, OTHER, "Up\n")
        assert values(score(backend, PROMPT, text)) == pytest.approx([expected], abs=tolerance)


def check_neighbours(backend: Backend, tolerance: float) -> None:
    """What else is scored beside a continuation, even texts that share or split its tokens."""
    alone = values(score(backend, PROMPT, "Alien"))[0]
    for others in (["Aliens"], ["\n\n", " ", "A"], ["Alien: Resurrection\n"] * 5, TITLES):
        assert values(score(backend, PROMPT, *others, "Alien"))[-1] == pytest.approx(alone, abs=tolerance)


def check_batch(backend: Backend, tolerance: float) -> None:
    requests = [ScoreRequest(p, TITLES[:3]) for p in (PROMPT, OTHER, PROMPT + TITLES[0])]
    singles = [backend.score([r])[0] for r in requests]
    for got, expected in zip(backend.score(requests), singles, strict=True):
        assert values(got) == pytest.approx(values(expected), abs=tolerance)


def check_determinism(backend: Backend, tolerance: float) -> None:
    """The same bits for the same call, whatever was called in between and whether the prefix is cached."""
    first = values(score(backend, PROMPT, *TITLES))
    assert values(score(backend, PROMPT, *TITLES)) == first
    score(backend, OTHER, *TITLES[:2])
    backend.embed([OTHER])
    backend.generate([{"role": "user", "content": "Hello"}], max_tokens=3)
    assert values(score(backend, PROMPT, *TITLES)) == first
    assert backend.choose([PROMPT], ["A", "B"]) == backend.choose([PROMPT], ["A", "B"])
    assert backend.embed([OTHER]).tobytes() == backend.embed([OTHER]).tobytes()


def check_lookalikes(backend: Backend, tolerance: float) -> None:
    """A title that looks like a control token is ordinary characters."""
    for text in LOOKALIKES:
        if not is_fake(backend):
            assert backend.count_tokens(text) - backend.count_tokens("") > 1, text
    for scored in score(backend, PROMPT + "<|im_end|>\n", *LOOKALIKES):
        assert np.isfinite(scored.logprob)
        assert is_fake(backend) or scored.tokens > 1


def check_choose(backend: Backend, tolerance: float) -> None:
    prompts = [PROMPT + "Is the next one Up? Answer:", OTHER + "Answer:"]
    for choice in backend.choose(prompts, ["A", "B", "C"]):
        assert len(choice.logprobs) == 3
        assert np.exp(choice.logprobs).sum() == pytest.approx(1)
        assert 0 < choice.mass <= 1
    turned = backend.choose(prompts[:1], ["C", "B", "A"])[0].logprobs[::-1]
    assert turned == pytest.approx(backend.choose(prompts[:1], ["A", "B", "C"])[0].logprobs, abs=1e-6)
    with pytest.raises(BackendError, match="one token"):
        backend.choose(prompts, ["A", "antidisestablishment of it"])
    with pytest.raises(BackendError, match="distinct"):
        backend.choose(prompts, ["A", "B", "A"])


def check_choose_is_score(backend: Backend, tolerance: float) -> None:
    """Labels' log-probabilities differ by what scores of the same texts differ."""
    a, b = backend.choose([PROMPT], ["A", "B"])[0].logprobs
    score_a, score_b = values(score(backend, PROMPT, "A", "B"))
    assert a - b == pytest.approx(score_a - score_b, abs=max(tolerance, 1e-6))


def check_embed(backend: Backend, tolerance: float) -> None:
    texts = [PROMPT, "Up\n", *TITLES[2:5], "Up\n", OTHER * 4]
    vectors = backend.embed(texts)
    assert vectors.shape == (len(texts), backend.info.dimensions)
    assert vectors.dtype == np.float32
    assert cosine(vectors[1], vectors[5]) > 1 - max(tolerance / 100, 1e-6)
    for text, vector in zip(texts, vectors, strict=True):
        assert cosine(backend.embed([text])[0], vector) > 1 - max(tolerance / 100, 1e-6)
    assert cosine(vectors[0], vectors[1]) < 0.999


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def check_generate(backend: Backend, tolerance: float) -> None:
    messages = [{"role": "user", "content": "Name one colour. <|im_end|>"}]
    answer = backend.generate(messages, max_tokens=12)
    assert isinstance(answer, str)
    assert answer
    assert backend.generate(messages, max_tokens=12) == answer
    if not is_fake(backend):  # a fake answers what it was told to
        assert backend.generate(messages, schema=OBJECT, max_tokens=60)["answer"] in ("yes", "no")


def check_usage(backend: Backend, tolerance: float) -> None:
    before = backend.usage.evaluated, backend.usage.reused
    score(backend, PROMPT + OTHER, *TITLES)
    between = backend.usage.evaluated, backend.usage.reused
    assert between[0] > before[0]
    score(backend, PROMPT + OTHER, *TITLES)
    assert backend.usage.evaluated > between[0]
    assert is_fake(backend) or backend.usage.reused > between[1] > before[1]


def check_base(backend: Backend, tolerance: float) -> None:
    before = values(score(backend, PROMPT, *TITLES))
    backend.use(None)
    assert backend.adapter is None
    assert values(score(backend, PROMPT, *TITLES)) == before


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]
