"""Nothing of one adapter is left in another: A, B, A equals a cold A to the last bit, in both engines."""

import statistics
import time
from collections.abc import Callable

import numpy as np
import pytest

from llmrec_prompt.backends.base import Backend, ScoreRequest
from llmrec_prompt.cache import NumberStore
from llmrec_prompt.rank.priors import Priors

from ..adapters.made import SMOLLM2, card, write_adapter
from .conformance import OTHER, PROMPT, TITLES
from .engines import load_engine

CALIBRATION = ("Films:\nHeat (1995)\nEmma (1996)\n", "Films:\nDune (2021)\nTitanic (1997)\n")
LLAMA = pytest.param("llama-smollm2", marks=pytest.mark.llama, id="llama")
HF = pytest.param("hf-smollm2", marks=pytest.mark.hf, id="hf")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    place = tmp_path_factory.mktemp("adapters")
    return [
        str(write_adapter(place / f"{seed}", card(f"adapter-{seed}"), SMOLLM2, seed=seed, dtype="BF16"))
        for seed in (1, 2)
    ]


def answers(backend: Backend, adapter: str | None) -> tuple[list[float], list[float], np.ndarray]:
    """Scores of one prompt twice (the second on the kept prefix), of another, and states."""
    backend.use(adapter)
    few = TITLES[:4]
    asked = [ScoreRequest(PROMPT, few), ScoreRequest(PROMPT, few), ScoreRequest(OTHER, few)]
    rows = [[score.logprob for score in row] for row in backend.score(asked)]
    return rows[0] + rows[1], rows[2], backend.embed([PROMPT, OTHER, *few])


def same(a: tuple, b: tuple) -> bool:
    return a[0] == b[0] and a[1] == b[1] and np.array_equal(a[2], b[2])


@pytest.mark.parametrize("name", [LLAMA, HF])
def test_a_b_a_equals_a_cold_a(name: str, engine: Callable[[str], Backend], folders: list[str]) -> None:
    cold = []
    for adapter in (None, *folders):  # each in an engine that never saw another
        fresh = load_engine(name)
        cold.append(answers(fresh, adapter))
        fresh.close()
    assert not any(same(cold[i], cold[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    backend = engine(name)
    a, b = folders
    try:
        for adapter in (a, b, a, None, b, a):
            assert same(answers(backend, adapter), cold[[None, a, b].index(adapter)]), adapter
    finally:
        backend.use(None)


@pytest.mark.parametrize("name", [LLAMA, HF])
def test_a_kept_prefix_of_another_adapter_is_never_read(
    name: str, engine: Callable[[str], Backend], folders: list[str]
) -> None:
    """The switch comes between two requests on the same prompt, where the prefix would be reused."""
    backend = engine(name)
    request = ScoreRequest(PROMPT, TITLES[:3])
    try:
        expected = {}
        for adapter in (None, *folders):
            backend.use(adapter)
            backend.score([ScoreRequest(OTHER, TITLES[:1])])
            expected[adapter] = backend.score([request])
        for adapter in (folders[0], folders[1], None, folders[0]):
            backend.use(adapter)
            evaluated = backend.usage.evaluated
            assert backend.score([request]) == expected[adapter]
            assert backend.usage.evaluated - evaluated >= backend.count_tokens(PROMPT)
    finally:
        backend.use(None)


@pytest.mark.parametrize("name", [LLAMA, HF])
def test_priors_are_kept_apart(name: str, engine: Callable[[str], Backend], folders: list[str]) -> None:
    backend, shared = engine(name), NumberStore(None)
    lines = TITLES[:4]

    def means(store: NumberStore, adapter: str | None) -> list[float]:
        backend.use(adapter)
        return Priors(backend, CALIBRATION, "Films:\n", store).means(lines).tolist()

    a, b = folders
    try:
        cold = {adapter: means(NumberStore(None), adapter) for adapter in (None, a, b)}
        assert len({tuple(values) for values in cold.values()}) == 3
        for adapter in (a, b, a, None, b):
            assert means(shared, adapter) == cold[adapter]
        evaluated = backend.usage.evaluated
        assert means(shared, a) == cold[a]
        assert backend.usage.evaluated == evaluated  # from the store
    finally:
        backend.use(None)


@pytest.mark.parametrize(
    ("name", "seconds"), [pytest.param(*LLAMA.values, 0.001, marks=LLAMA.marks, id="llama"),
                          pytest.param(*HF.values, 0.05, marks=HF.marks, id="hf")],
)  # fmt: skip
def test_a_switch_between_loaded_adapters_is_fast(
    name: str, seconds: float, engine: Callable[[str], Backend], folders: list[str]
) -> None:
    """The median of many, so that a busy machine does not fail it; `eval/bench/swap.py` has the figures."""
    backend, times = engine(name), []
    try:
        for adapter in (*folders, None) * 30:
            start = time.perf_counter()
            backend.use(adapter)
            times.append(time.perf_counter() - start)
    finally:
        backend.use(None)
    assert statistics.median(times) < seconds
