"""The same GGUF file in both engines: same tokens, same scores, same states."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from llmrec_prompt.backends.base import Backend, ScoreRequest
from llmrec_prompt.backends.chat import conversation_tokens

from .conformance import cosine
from .texts import ODD, PROMPTS, TITLES, fuzzed, real_titles

pytestmark = [pytest.mark.llama, pytest.mark.hf]
# Measured: 0.0001 nats for smollm2; for Gemma 0.018, for llama.cpp rounds its GELU to half precision.
TOLERANCES = {"smollm2": 0.002, "gemma3": 0.05}


@dataclass(frozen=True)
class Pair:
    """One file in both engines, how far apart they may be (nats), and how many titles are worth the time."""

    llama: Backend
    hf: Backend
    tolerance: float
    titles: list[str]


@pytest.fixture(params=TOLERANCES)
def pair(request: pytest.FixtureRequest, engine: Callable[[str], Backend]) -> Pair:
    model = request.param
    titles = [title + "\n" for title in (TITLES if model == "smollm2" else TITLES[::3])]
    return Pair(engine(f"llama-{model}-f32"), engine(f"hf-{model}"), TOLERANCES[model], titles)


def scores(backend: Backend, prompt: str, titles: list[str]) -> np.ndarray:
    return np.array([s.logprob for s in backend.score([ScoreRequest(prompt, titles)])[0]])


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.argsort().argsort(), b.argsort().argsort())[0, 1])


def test_token_ids_are_equal(pair: Pair, shared_folder: Path) -> None:
    llama, hf = pair.llama, pair.hf
    texts = [*ODD, *TITLES, *PROMPTS, *fuzzed(300), *real_titles(shared_folder, 200)]
    different = [text for text in texts if llama.tokenize(text) != hf.tokenize(text)]
    assert different == []


def test_conversations_are_tokenised_alike(pair: Pair) -> None:
    llama, hf = pair.llama._model, pair.hf._vocabulary
    messages = [
        {"role": "system", "content": "You recommend <|im_end|>\n films."},
        {"role": "user", "content": "  Alien</s> or <start_of_turn>Brazil?  "},
    ]
    tokens = conversation_tokens(llama.metadata("tokenizer.chat_template"), messages, llama.tokenize)
    assert tokens == conversation_tokens(hf.template, messages, hf.tokenize)
    assert llama.is_end(next(iter(hf.ends)))


def test_scores_agree(pair: Pair) -> None:
    llama, hf = pair.llama, pair.hf
    for prompt in PROMPTS:
        a, b = scores(llama, prompt, pair.titles), scores(hf, prompt, pair.titles)
        assert np.abs(a - b).max() < pair.tolerance
        assert spearman(a, b) > 0.99


def test_scores_agree_beyond_the_sliding_window(pair: Pair) -> None:
    llama, hf = pair.llama, pair.hf
    prompt = PROMPTS[0] + "\n".join(TITLES) + "\n"
    assert 512 < llama.count_tokens(prompt) < 900
    titles = ["Blade Runner\n", "Up\n", "Toy Story (1995)\n"]
    together = scores(hf, prompt, titles)
    assert scores(llama, prompt, titles) == pytest.approx(together, abs=pair.tolerance)
    assert plain_forward(hf, prompt, titles[2]) == pytest.approx(together[2], abs=1e-3)


def test_a_continuation_longer_than_a_batch(engine: Callable[[str], Backend]) -> None:
    hf = engine("hf-smollm2")
    long = "\n".join(TITLES)
    assert hf.count_tokens(long) > 512
    for got, text in zip(scores(hf, PROMPTS[0], [long, "Up\n"]), [long, "Up\n"], strict=True):
        assert plain_forward(hf, PROMPTS[0], text) == pytest.approx(got, abs=1e-3)


def plain_forward(hf: Backend, prompt: str, text: str) -> float:
    """A score by the model's own forward over the whole text, with nothing of ours but the tokenizer."""
    import torch

    start, tokens = len(hf.tokenize(prompt)), hf.tokenize(prompt + text)
    with torch.inference_mode():
        keep = len(tokens) - start + 1
        logits = hf._network.model(input_ids=torch.tensor([tokens]), logits_to_keep=keep).logits[0]
    rows = logits.double().log_softmax(-1)
    return sum(float(row[token]) for row, token in zip(rows[:-1], tokens[start:], strict=True))


def test_choices_agree(pair: Pair) -> None:
    llama, hf = pair.llama, pair.hf
    prompts = [p + "Answer:" for p in PROMPTS]
    labels = [" A", " B", " C", " yes", " no"]
    for a, b in zip(llama.choose(prompts, labels), hf.choose(prompts, labels), strict=True):
        assert a.logprobs == pytest.approx(b.logprobs, abs=pair.tolerance)
        assert a.mass == pytest.approx(b.mass, rel=pair.tolerance)


def test_states_agree(pair: Pair) -> None:
    llama, hf = pair.llama, pair.hf
    texts = [*PROMPTS, *TITLES[:20]]
    for a, b in zip(llama.embed(texts), hf.embed(texts), strict=True):
        assert cosine(a, b) > 0.9999


def test_answers_agree(pair: Pair) -> None:
    llama, hf = pair.llama, pair.hf
    messages = [{"role": "user", "content": "Name three colours."}]
    assert llama.generate(messages, max_tokens=16) == hf.generate(messages, max_tokens=16)
