"""Switching LoRA adapters on a loaded base, in both engines."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from llmrec_prompt.backends.base import Backend, ScoreRequest
from llmrec_prompt.errors import AdapterError

from .conformance import PROMPT, TITLES, cosine
from .lora import LINEARS, random_weights, write_gguf, write_peft

TEXTS = TITLES[:5]
Folders = tuple[Path, Path]


@pytest.fixture(scope="module")
def hf(engine: Callable[[str], Backend]) -> Backend:
    return engine("hf-smollm2")


@pytest.fixture(scope="module")
def weights(hf: Backend) -> list[dict]:
    return [random_weights(hf._network.model, seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def folders(weights: list[dict], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return [str(write_peft(tmp_path_factory.mktemp("lora"), w)) for w in weights]


@pytest.fixture(scope="module")
def files(weights: list[dict], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("gguf")
    return [str(write_gguf(folder / f"{i}.gguf", w, heads=9, kv_heads=3)) for i, w in enumerate(weights)]


def scores(backend: Backend, adapter: str | None) -> list[float]:
    backend.use(adapter)
    assert backend.adapter == adapter
    return [s.logprob for s in backend.score([ScoreRequest(PROMPT, TEXTS)])[0]]


def check_switching(backend: Backend, a: str, b: str) -> None:
    try:
        base, cold_a = scores(backend, None), scores(backend, a)
        assert cold_a != pytest.approx(base, abs=0.1)
        assert scores(backend, None) == base
        cold_b = scores(backend, b)
        assert cold_b != pytest.approx(cold_a, abs=0.1)
        assert scores(backend, a) == cold_a
        assert scores(backend, b) == cold_b
        assert scores(backend, None) == base
    finally:
        backend.use(None)


@pytest.mark.hf
def test_hf_switches(hf: Backend, folders: list[str]) -> None:
    check_switching(hf, *folders)


@pytest.mark.llama
@pytest.mark.hf
def test_llama_switches(engine: Callable[[str], Backend], files: list[str]) -> None:
    check_switching(engine("llama-smollm2-f32"), *files)


@pytest.mark.llama
@pytest.mark.hf
def test_adapted_engines_agree(
    hf: Backend, engine: Callable[[str], Backend], folders: list[str], files: list[str]
) -> None:
    llama = engine("llama-smollm2-f32")
    try:
        for folder, file in zip(folders, files, strict=True):
            assert scores(llama, file) == pytest.approx(scores(hf, folder), abs=0.01)
            assert cosine(*llama.embed([PROMPT]), *hf.embed([PROMPT])) > 0.9999
    finally:
        hf.use(None)
        llama.use(None)


@pytest.mark.llama
@pytest.mark.hf
def test_llama_loads_a_retrained_adapter_anew(
    engine: Callable[[str], Backend], weights: list[dict], files: list[str], tmp_path: Path
) -> None:
    llama, path = engine("llama-smollm2-f32"), tmp_path / "a.gguf"
    try:
        for w, file in zip(weights, files, strict=True):
            write_gguf(path, w, heads=9, kv_heads=3)
            assert scores(llama, str(path)) == scores(llama, file)
    finally:
        llama.use(None)


@pytest.mark.hf
def test_a_failed_switch_leaves_the_adapter_in_force(
    hf: Backend, weights: list[dict], folders: list[str], tmp_path: Path
) -> None:
    try:
        before = scores(hf, folders[0])
        missing_layer(tmp_path, weights[1])
        with pytest.raises(AdapterError, match="weights missing"):
            hf.use(str(tmp_path))
        assert hf.adapter == folders[0]
        hf.score([ScoreRequest("Other:\n", TEXTS)])
        assert [s.logprob for s in hf.score([ScoreRequest(PROMPT, TEXTS)])[0]] == before
    finally:
        hf.use(None)


@pytest.mark.hf
def test_a_retrained_adapter_at_the_same_place_is_loaded_anew(
    hf: Backend, weights: list[dict], folders: list[str], tmp_path: Path
) -> None:
    try:
        write_peft(tmp_path, weights[0])
        assert scores(hf, str(tmp_path)) == scores(hf, folders[0])
        write_peft(tmp_path, weights[1])
        assert scores(hf, str(tmp_path)) == scores(hf, folders[1])
    finally:
        hf.use(None)


def odd_shape(folder: Path, weights: dict) -> None:
    path = next(iter(weights))
    a, b = weights[path]
    write_peft(folder, weights | {path: (a[:, :-1], b)})


def odd_module(folder: Path, weights: dict) -> None:
    write_peft(folder, {path.replace("layers.0.", "layers.77."): pair for path, pair in weights.items()})


def missing_layer(folder: Path, weights: dict) -> None:
    write_peft(folder, {path: pair for path, pair in weights.items() if ".layers.0." not in path})


def other_type(folder: Path, weights: dict) -> None:
    write_peft(folder, weights)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"peft_type": "IA3"}))


def pickled(folder: Path, weights: dict) -> None:
    write_peft(folder, weights)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


def cut_off(folder: Path, weights: dict) -> None:
    write_peft(folder, weights)
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def empty(folder: Path, weights: dict) -> None: ...


@pytest.mark.hf
@pytest.mark.parametrize("spoil", [odd_shape, odd_module, missing_layer, other_type, pickled, cut_off, empty])
def test_odd_adapters_are_refused_and_change_nothing(
    hf: Backend, weights: list[dict], tmp_path: Path, spoil: Callable[[Path, dict], None]
) -> None:
    before = scores(hf, None)
    spoil(tmp_path, weights[0])
    for _ in range(2):
        with pytest.raises(AdapterError) as caught:
            hf.use(str(tmp_path))
        assert str(tmp_path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert hf.adapter is None
    assert scores(hf, None) == before


@pytest.mark.llama
def test_llama_refuses_what_is_no_adapter(engine: Callable[[str], Backend], tmp_path: Path) -> None:
    llama = engine("llama-smollm2-f32")
    before = scores(llama, None)
    with pytest.raises(AdapterError, match="cannot load the adapter"):
        llama.use(str(tmp_path / "none.gguf"))
    with pytest.raises(AdapterError, match="is no adapter"):
        llama.use(str(tmp_path))
    (tmp_path / "bad.gguf").write_bytes(b"GGUF")
    with pytest.raises(AdapterError):
        llama.use(str(tmp_path / "bad.gguf"))
    assert llama.adapter is None
    assert scores(llama, None) == before


@pytest.mark.hf
def test_every_linear_layer_is_adapted(hf: Backend, weights: list[dict]) -> None:
    assert len(weights[0]) == len(LINEARS) * hf._network.config.num_hidden_layers
    assert all(np.abs(b).min() > 0 for _, b in weights[0].values())
