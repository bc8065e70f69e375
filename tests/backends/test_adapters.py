"""Switching LoRA adapters on a loaded base, in both engines."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from llmrec_prompt.adapters.gguf import LINEARS, Shape, write_twin
from llmrec_prompt.backends.base import Backend, ScoreRequest
from llmrec_prompt.errors import AdapterError

from .conformance import PROMPT, TITLES, cosine
from .lora import random_weights, write_peft

TEXTS = TITLES[:5]
SMOLLM2 = Shape("llama", 9, 3)


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
def files(folders: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    out = tmp_path_factory.mktemp("gguf")
    return [str(write_twin(Path(f), out / f"{i}.gguf", SMOLLM2)) for i, f in enumerate(folders)]


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
def test_llama_switches(engine: Callable[[str], Backend], files: list[str], folders: list[str]) -> None:
    check_switching(engine("llama-smollm2-f32"), files[0], folders[1])


@pytest.mark.llama
@pytest.mark.hf
def test_adapted_engines_agree(
    hf: Backend, engine: Callable[[str], Backend], folders: list[str], files: list[str]
) -> None:
    llama = engine("llama-smollm2-f32")
    for folder, file in zip(folders, files, strict=True):
        agree(llama, hf, folder, tolerance=0.01)
        assert scores(llama, folder) == scores(llama, file)
    llama.use(None)


def agree(llama: Backend, hf: Backend, folder: str, *, tolerance: float) -> None:
    """The engines say the same of an adapter, and it changes far more than they differ by."""
    try:
        base, theirs = scores(hf, None), scores(hf, folder)
        assert scores(llama, folder) == pytest.approx(theirs, abs=tolerance)
        assert cosine(*llama.embed([PROMPT]), *hf.embed([PROMPT])) > 0.9999
        assert theirs != pytest.approx(base, abs=10 * tolerance)
    finally:
        hf.use(None)
        llama.use(None)


@pytest.mark.llama
@pytest.mark.hf
@pytest.mark.parametrize(
    ("layers", "linears", "options"),
    [
        (range(20, 30), ["q_proj", "v_proj", "down_proj"], {}),
        ((0, 29), ["k_proj"], {"use_rslora": True}),
    ],
)
def test_some_layers_and_linears_agree(
    hf: Backend,
    engine: Callable[[str], Backend],
    weights: list[dict],
    tmp_path: Path,
    layers: Sequence[int],
    linears: list[str],
    options: dict,
) -> None:
    # Only a tenth of the matrices, so larger ones, or the difference would drown in rounding.
    some = {
        path: (a, 20 * b)
        for path, (a, b) in weights[0].items()
        if int(path.split(".layers.")[1].split(".")[0]) in layers and path.rpartition(".")[2] in linears
    }
    assert len(some) == len(layers) * len(linears)
    write_peft(tmp_path, some, target_modules=linears, layers_to_transform=list(layers), **options)
    agree(engine("llama-smollm2-f32"), hf, str(tmp_path), tolerance=0.01)


@pytest.mark.llama
@pytest.mark.hf
def test_an_architecture_that_keeps_its_rows_agrees(engine: Callable[[str], Backend], tmp_path: Path) -> None:
    hf = engine("hf-gemma3")
    write_peft(tmp_path, random_weights(hf._network.model, 3))
    agree(engine("llama-gemma3-f32"), hf, str(tmp_path), tolerance=0.1)


@pytest.mark.llama
@pytest.mark.hf
def test_llama_refuses_an_adapter_of_another_base(
    engine: Callable[[str], Backend], folders: list[str]
) -> None:
    gemma = engine("llama-gemma3-f32")
    before = scores(gemma, None)
    with pytest.raises(AdapterError, match="does not fit this base"):
        gemma.use(folders[0])
    assert gemma.adapter is None
    assert scores(gemma, None) == before


@pytest.mark.llama
@pytest.mark.hf
def test_llama_loads_a_retrained_adapter_anew(
    engine: Callable[[str], Backend], weights: list[dict], files: list[str], tmp_path: Path
) -> None:
    llama, path = engine("llama-smollm2-f32"), tmp_path / "a.gguf"
    try:
        seen = set()
        for w, file in zip(weights, files, strict=True):
            write_twin(write_peft(tmp_path / "peft", w), path, SMOLLM2)
            assert scores(llama, str(path)) == scores(llama, file)
            seen.add(llama.adapter_hash)
            assert scores(llama, str(tmp_path / "peft")) == scores(llama, file)
        assert len(seen) == 2
        assert not llama._adapters._replaced  # what newer files replaced is let go
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
        first, second = (scores(hf, folder) for folder in folders[:2])
        write_peft(tmp_path, weights[0])
        assert scores(hf, str(tmp_path)) == first
        was, loaded = hf.adapter_hash, sizes(hf)
        write_peft(tmp_path, weights[1])
        assert hf.adapter_hash == was  # the weights in force are still those
        assert scores(hf, str(tmp_path)) == second
        assert hf.adapter_hash != was
        assert sizes(hf) == loaded  # what newer files replaced is let go
    finally:
        hf.use(None)


def sizes(hf: Backend) -> int:
    return sum(weight.numel() for weight in hf._network.model.parameters())


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


def asking(**more: object) -> Callable[[Path, dict], None]:
    def spoil(folder: Path, weights: dict) -> None:
        write_peft(folder, weights)
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | more))

    return spoil


copied_layers = asking(layer_replication=[[0, 30], [0, 1]])
endless = asking(target_modules="(([a-z_.0-9]+)+)+X")
cut_out_of_the_base = asking(init_lora_weights="pissa")
without_weights = asking(target_modules=[*(name.rpartition(".")[2] for name in LINEARS), "embed_tokens"])


def pickled(folder: Path, weights: dict) -> None:
    write_peft(folder, weights)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


def cut_off(folder: Path, weights: dict) -> None:
    write_peft(folder, weights)
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def empty(folder: Path, weights: dict) -> None: ...


@pytest.mark.hf
@pytest.mark.parametrize(
    "spoil",
    [
        *(odd_shape, odd_module, missing_layer, other_type, pickled, cut_off, empty),
        *(copied_layers, endless, cut_out_of_the_base, without_weights),
    ],
)
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


@pytest.mark.hf
def test_only_for_what_does_not_fit_another_training_is_advised(
    hf: Backend, weights: list[dict], tmp_path: Path
) -> None:
    missing_layer(tmp_path / "a", weights[0])
    with pytest.raises(AdapterError, match=r"weights missing.*Train one for this model\.$"):
        hf.use(str(tmp_path / "a"))
    write_peft(tmp_path / "b", weights[0])
    path = tmp_path / "b" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"r": "eight"}))
    with pytest.raises(AdapterError, match=r"Look it over with `llmrec adapters verify .*b`\.$"):
        hf.use(str(tmp_path / "b"))


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
