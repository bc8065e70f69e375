import threading

import numpy as np
import pytest

from llmrec_prompt.adapters import gguf as module
from llmrec_prompt.adapters.gguf import Shape, permuted, twin, twin_path, write_twin
from llmrec_prompt.errors import AdapterError, MissingExtra

from .made import tensors, write_adapter, write_config, write_safetensors

LLAMA = Shape("llama", 2, 1)
FILE = "adapter_model.safetensors"


def contents(path):
    reader = pytest.importorskip("gguf").GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    return fields, {t.name: np.array(t.data) for t in reader.tensors}


def test_halves_that_rotate_together_become_neighbours():
    rows = np.arange(8, dtype=np.float32)[:, None]  # two heads of four
    assert permuted(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_a_twin_holds_every_matrix_under_its_name(tmp_path):
    folder = write_adapter(tmp_path / "a")
    fields, found = contents(write_twin(folder, tmp_path / "out" / "a.gguf", LLAMA))
    assert fields == {
        "general.architecture": "llama",
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": 8.0,
        "llmrec.card": (folder / "card.yaml").read_text(),
        "llmrec.users": (folder / "users.txt").read_text(),
    }
    source = tensors()
    assert len(found) == len(source) == 28
    key = "base_model.model.model.layers.1."
    for linear, name in (("self_attn.v_proj", "attn_v"), ("mlp.down_proj", "ffn_down")):
        for side in "AB":
            got = found[f"blk.1.{name}.weight.lora_{side.lower()}"]
            assert np.array_equal(got, source[f"{key}{linear}.lora_{side}.weight"])
    b = source[f"{key}self_attn.q_proj.lora_B.weight"]
    assert np.array_equal(found["blk.1.attn_q.weight.lora_b"], b[[0, 2, 1, 3, 4, 6, 5, 7]])
    b = source[f"{key}self_attn.k_proj.lora_B.weight"]
    assert np.array_equal(found["blk.1.attn_k.weight.lora_b"], b[[0, 2, 1, 3]])


def test_other_architectures_keep_their_rows(tmp_path):
    folder = write_adapter(tmp_path / "a")
    fields, found = contents(write_twin(folder, tmp_path / "a.gguf", Shape("gemma3", 2, 1)))
    assert fields["general.architecture"] == "gemma3"
    b = tensors()["base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"]
    assert np.array_equal(found["blk.0.attn_q.weight.lora_b"], b)


def test_some_layers_and_some_linears_are_enough(tmp_path):
    write_config(tmp_path, layers_to_transform=[1], use_rslora=True)
    write_safetensors(tmp_path / FILE, tensors(layers=[1], targets=["o_proj", "gate_proj"]), dtype="BF16")
    fields, found = contents(write_twin(tmp_path, tmp_path / "a.gguf", LLAMA))
    assert set(found) == {
        f"blk.1.{name}.weight.lora_{side}" for name in ("attn_output", "ffn_gate") for side in "ab"
    }
    assert fields["adapter.lora.alpha"] == 16.0  # 8 / sqrt(4) as PEFT has it, 16 / 4 as llama.cpp has it


@pytest.mark.parametrize(
    "change", [{"use_dora": True}, {"modules_to_save": ["lm_head"]}, {"r": 128}, {"peft_type": "IA3"}]
)
def test_what_llama_cpp_cannot_load_is_not_written(tmp_path, change):
    folder = write_adapter(tmp_path / "a")
    write_config(folder, **change)
    with pytest.raises(AdapterError, match="has no GGUF form"):
        write_twin(folder, tmp_path / "out" / "a.gguf", LLAMA)
    assert not (tmp_path / "out").exists()


def test_a_failure_leaves_no_file(tmp_path):
    folder = write_adapter(tmp_path / "a")
    with pytest.raises(AdapterError, match="does not fit this base"):
        write_twin(folder, tmp_path / "out" / "a.gguf", Shape("llama", 5, 5))
    assert list((tmp_path / "out").iterdir()) == []


def test_the_package_that_writes_is_an_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    with pytest.raises(MissingExtra, match=r"llmrec-prompt\[local\]"):
        write_twin(write_adapter(tmp_path / "a"), tmp_path / "a.gguf", LLAMA)


def metadata(**values):
    return lambda key: values.get(key.replace(".", "_"), "")


def test_the_shape_comes_from_metadata():
    found = Shape.of(
        metadata(
            general_architecture="llama", llama_attention_head_count="9", llama_attention_head_count_kv="3"
        )
    )
    assert found == Shape("llama", 9, 3)
    assert Shape.of(metadata(general_architecture="qwen2", qwen2_attention_head_count="4")) == Shape(
        "qwen2", 4, 4
    )


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"general_architecture": "mamba"},
        {"general_architecture": "llama", "llama_attention_head_count": "[1, 2]"},
    ],
)
def test_unknown_architectures_are_refused(values):
    with pytest.raises(AdapterError, match="hf backend"):
        Shape.of(metadata(**values))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_cache_keeps_a_twin_for_all_it_depends_on(cache, tmp_path):
    folder = write_adapter(tmp_path / "a")
    paths = {
        twin_path(folder, LLAMA),
        twin_path(folder, Shape("llama", 4, 1)),
        twin_path(folder, Shape("qwen2", 2, 1)),
    }
    write_config(folder, lora_alpha=99)
    paths.add(twin_path(folder, LLAMA))
    write_safetensors(folder / FILE, tensors(seed=5))
    paths.add(twin_path(folder, LLAMA))
    assert len(paths) == 5
    assert all(path.parent == cache / "adapters" for path in paths)


def test_a_twin_is_made_once(cache, tmp_path):
    folder = write_adapter(tmp_path / "a")
    with twin(folder, LLAMA) as first:
        made = first.stat().st_mtime_ns
    with twin(folder, LLAMA) as second:
        assert second == first
        assert second.stat().st_mtime_ns == made


def test_many_at_once_make_one_whole_file(cache, tmp_path):
    folder = write_adapter(tmp_path / "a")
    expected = write_twin(folder, tmp_path / "expected.gguf", LLAMA, told=False).read_bytes()
    start, seen = threading.Barrier(8), []

    def one():
        start.wait()
        with twin(folder, LLAMA) as path:
            seen.append(path.read_bytes())

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [expected] * 8
    assert len(list((cache / "adapters").iterdir())) == 1


def test_without_a_cache_the_twin_is_made_for_the_moment(cache, tmp_path):
    cache.write_text("a file where a folder should be")
    with twin(write_adapter(tmp_path / "a"), LLAMA) as path:
        assert path.is_file()
        fields, _ = contents(path)
        assert fields["adapter.type"] == "lora"
    assert not path.exists()


def test_no_folder_no_twin(cache, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "none"):
        with pytest.raises(AdapterError, match="is no adapter"), twin(folder, LLAMA):
            pass
    write_config(tmp_path / "empty")
    with pytest.raises(AdapterError, match="is no adapter"), twin(tmp_path / "empty", LLAMA):
        pass


def test_every_architecture_is_known_to_the_library():
    names = set(pytest.importorskip("gguf").MODEL_ARCH_NAMES.values())
    assert set(module.PERMUTED) <= names
