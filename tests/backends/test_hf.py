"""What only the transformers backend has: folders, hub ids, families of models, its own conversions."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmrec_prompt.backends.base import Backend, ScoreRequest
from llmrec_prompt.backends.loading import load_backend
from llmrec_prompt.errors import BackendError, ConfigError, ContextOverflow

from ..conftest import packaged_or_skip
from .conformance import PROMPT, TITLES

pytestmark = pytest.mark.hf

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 128,
}
WINDOW = {"sliding_window": 8}
MIXED = {"layer_types": ["sliding_attention", "full_attention"] * 2}
FAMILIES = {
    "Llama": {},
    "Mistral": WINDOW,
    "Qwen2": WINDOW | {"use_sliding_window": True, "max_window_layers": 2},
    "Qwen3": {},
    "Gemma2": WINDOW | {"query_pre_attn_scalar": 16},
    "Gemma3Text": WINDOW
    | {"query_pre_attn_scalar": 16, "layer_types": ["sliding_attention", "full_attention"] * 2},
    "SmolLM3": {},
    "Cohere": {"logit_scale": 0.25},
    "Granite": {"logits_scaling": 4.0},
}


def tiny(family: str, **changes: Any) -> Any:
    """A random model of a family, small enough to be made anew in every test."""
    import torch
    import transformers

    torch.manual_seed(0)
    make = getattr(transformers, f"{family}Config")
    special = {"vocab_size": 500, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = make(**special | SIZES | FAMILIES[family] | changes)
    model = transformers.AutoModelForCausalLM.from_config(config)
    for weights in model.parameters():
        if weights.dim() > 1:
            weights.data.normal_(0, 0.15)
    return model.eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_families_score_as_their_own_forward_does(family: str) -> None:
    import torch

    from llmrec_prompt.backends.hf.network import Network

    model = tiny(family)
    dice = np.random.default_rng(0)
    prefix, *rows = (dice.integers(3, 500, n).tolist() for n in (30, 5, 2, 20, 9))
    network = Network(model)
    found = network.score_after(network.prefill(prefix), [(row, 1) for row in rows])
    for row, got in zip(rows, found, strict=True):
        with torch.inference_mode():
            out = model(input_ids=torch.tensor([prefix + row]), use_cache=False).logits[0].log_softmax(-1)
        expected = sum(float(out[len(prefix) + i - 1, row[i]]) for i in range(1, len(row)))
        assert got == pytest.approx(expected, abs=1e-4)
    with torch.inference_mode():
        states = model.get_decoder()(input_ids=torch.tensor([rows[2]])).last_hidden_state[0, -1]
    assert network.last_states(rows)[2] == pytest.approx(states.numpy(), abs=1e-4)


def test_models_that_cannot_share_a_prefix_are_refused() -> None:
    import transformers

    from llmrec_prompt.backends.hf.network import Network

    sizes = {"vocab_size": 500, "hidden_size": 64}
    mamba = transformers.MambaConfig(**sizes, num_hidden_layers=2, eos_token_id=2, bos_token_id=1)
    bloom = transformers.BloomConfig(**sizes, n_layer=2, n_head=4)
    for config in (mamba, bloom):
        with pytest.raises(BackendError, match=f"type '{config.model_type}'"):
            Network(transformers.AutoModelForCausalLM.from_config(config).eval())


def test_a_file_is_walked_once_and_the_library_left_as_it_was() -> None:
    import gguf

    from llmrec_prompt.backends.hf.loading import _read_once

    path, plain = packaged_or_skip("smollm2"), gguf.GGUFReader
    with _read_once():
        found = gguf.GGUFReader(path)
        assert gguf.GGUFReader(path) is found
    assert gguf.GGUFReader is plain
    usual = plain(path)
    assert found.fields.keys() == usual.fields.keys()
    for own, other in zip(found.tensors, usual.tensors, strict=True):
        assert own.name == other.name
        assert np.array_equal(own.data, other.data)


@pytest.fixture
def folder(engine: Callable[[str], Backend], own_cache: Path, tmp_path: Path) -> Path:
    """A tiny model with smollm2's tokenizer, as a folder."""
    engine("hf-smollm2")
    made = next((own_cache / "models").glob("SmolLM2*-hf*"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(made / name, tmp_path / name)
    tiny("Llama", vocab_size=49152).save_pretrained(tmp_path)
    return tmp_path


def test_a_folder_is_a_model(folder: Path) -> None:
    backend = load_backend(f"hf:{folder}", context=4096, threads=1)
    assert backend.info.context == 128
    assert backend.info.dimensions == 64
    assert len(backend.info.hash) == 16
    first = backend.score([ScoreRequest(PROMPT, TITLES)])
    again = load_backend(f"hf:{folder}")
    assert again.score([ScoreRequest(PROMPT, TITLES)]) == first
    assert again.info.hash == backend.info.hash
    (folder / "tokenizer_config.json").write_text("{}")
    assert load_backend(f"hf:{folder}").info.hash != backend.info.hash
    backend.close()


def test_the_context_is_filled_to_the_last_token(folder: Path) -> None:
    backend = load_backend(f"hf:{folder}")
    prompt = "word " * 200
    tokens = backend.tokenize(prompt)
    assert len(tokens) > 128
    prompt = "word" + " word" * 125
    assert backend.count_tokens(prompt) == 126
    assert backend.score([ScoreRequest(prompt, [" word word"])])[0][0].tokens == 2
    with pytest.raises(ContextOverflow, match="needs 129 tokens but the context holds 128"):
        backend.score([ScoreRequest(prompt, [" word", " word word word"])])
    assert backend.embed(["word" + " word" * 127]).shape == (1, 64)


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BackendError, match="safetensors") as caught:
        load_backend(f"hf:{folder}")
    assert "\n" not in str(caught.value)


def test_code_in_a_folder_is_never_run(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "evil",
        "auto_map": {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ConfigError, match=r"needs Python code of its own.*Take a model of a kind") as caught:
        load_backend(f"hf:{folder}")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_nobody_is_asked_at_the_terminal_whether_code_may_run(folder: Path) -> None:
    """transformers asks, and waits for fifteen seconds, unless it is told."""
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil"}}
    (folder / "config.json").write_text(json.dumps(config))
    code = (
        "import sys\n"
        "from llmrec_prompt.backends import load_backend\n"
        "from llmrec_prompt.errors import ConfigError\n"
        "try: load_backend('hf:' + sys.argv[1])\n"
        "except ConfigError as error: print(error)\n"
        "print('left:', sys.stdin.read())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, folder], input="y\ny\n", capture_output=True, text=True, check=True
    )
    said, left = done.stdout.split("left:")
    assert "needs Python code of its own" in said
    assert left.split() == ["y", "y"]


@pytest.mark.parametrize("target", ["./nowhere", "/no/where", "a/b/c", "two words"])
def test_what_is_no_model_at_all(target: str) -> None:
    with pytest.raises(ConfigError, match="is no folder, GGUF file or hub id"):
        load_backend(f"hf:{target}")


def test_a_broken_gguf_file(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"nothing of the kind")
    with pytest.raises(BackendError, match=r"bad\.gguf"):
        load_backend(f"hf:{tmp_path}/bad.gguf")


def test_missing_packages_are_named() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from llmrec_prompt.backends import load_backend\n"
        "from llmrec_prompt.errors import MissingExtra\n"
        "try: load_backend('hf:smollm2')\n"
        "except MissingExtra as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "llmrec-prompt[hf]"' in done.stdout


def test_no_room_for_a_copy_says_where_it_may_be(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys, numpy; from pathlib import Path\n"
        "from safetensors.numpy import save_file\n"
        "from llmrec_prompt.backends.hf.loading import keeping_copy\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "file = Path(sys.argv[1]) / 'copy'\n"
        "try:\n"
        "    with keeping_copy(Path('model.gguf'), file):\n"
        "        save_file({'a': numpy.zeros(10_000)}, file.with_suffix('.partial'))\n"
        "except Exception as error: print(f'{type(error).__name__}: {error}')"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"BackendError: Cannot keep a copy of model.gguf in {tmp_path}: ")
    assert "Set LLMREC_CACHE to a folder with room" in done.stdout


def test_spelling_of_a_gguf_tokenizer() -> None:
    from llmrec_prompt.backends.hf.vocabulary import as_llama_cpp

    def added(i: int, content: str, special: bool) -> dict[str, Any]:
        return {"id": i, "content": content, "special": special}

    spec = {
        "added_tokens": [added(0, "<bos>", True), added(1, "\n", False), added(2, "</s>", False)],
        "pre_tokenizer": None,
        "model": {
            "byte_fallback": True,
            "vocab": {"<bos>": 0, "\n": 1, "</s>": 2, "▁": 3, "▁▁": 4, "a": 5, "▁a": 6},
            "merges": [["▁", "▁"], ["▁", "a"]],
        },
    }
    mended = as_llama_cpp(spec, "default")
    assert [t["content"] for t in mended["added_tokens"] if t["special"]] == ["<bos>", "</s>"]
    assert mended["model"]["vocab"]["  "] == 4
    assert mended["model"]["merges"] == [["▁", "a"]]
    assert mended["added_tokens"][-1]["content"] == "  "
    assert mended["pre_tokenizer"] is None
    plain = {"added_tokens": [], "model": {"byte_fallback": False}}
    assert "Digits" in json.dumps(as_llama_cpp(plain, "smollm")["pre_tokenizer"])
