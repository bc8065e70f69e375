import json
import os
import shutil

import numpy as np
import pytest

from llmrec_prompt.adapters.weights import file_state, read_pairs, read_tensors
from llmrec_prompt.errors import AdapterError

from .made import tensors, write_adapter, write_config, write_safetensors

FILE = "adapter_model.safetensors"


@pytest.mark.parametrize(("dtype", "error"), [("F32", 0.0), ("F16", 2**-11), ("BF16", 2**-7)])
def test_tensors_are_read_in_every_precision(tmp_path, dtype, error):
    arrays = tensors()
    write_safetensors(tmp_path / FILE, arrays, dtype=dtype)
    found = read_tensors(tmp_path / FILE)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], array, rtol=error, atol=1e-7 * bool(error))


@pytest.mark.hf
def test_files_of_the_safetensors_library_are_read(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    arrays = {key: torch.tensor(value).bfloat16() for key, value in tensors().items()}
    save_file(arrays, tmp_path / FILE, metadata={"format": "pt"})
    found = read_tensors(tmp_path / FILE)
    assert set(found) == set(arrays)
    assert all(np.array_equal(found[key], arrays[key].float().numpy()) for key in arrays)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x10\0\0\0\0\0\0\0{}", b"\xff" * 40, b"\x02\0\0\0\0\0\0\0[]", b'\x05\0\0\0\0\0\0\0{"a":', None],
)
def test_what_is_no_safetensors_is_one_line(tmp_path, data):
    if data is not None:
        (tmp_path / FILE).write_bytes(data)
    with pytest.raises(AdapterError, match="cannot be read as safetensors") as caught:
        read_tensors(tmp_path / FILE)
    assert "\n" not in str(caught.value)


def test_a_cut_off_file_is_refused(tmp_path):
    write_safetensors(tmp_path / FILE, tensors())
    data = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(data[:-5])
    with pytest.raises(AdapterError, match="cannot be read"):
        read_tensors(tmp_path / FILE)


def test_other_number_types_are_refused(tmp_path):
    text = json.dumps({"a": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]}}).encode()
    (tmp_path / FILE).write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    with pytest.raises(AdapterError, match="I64"):
        read_tensors(tmp_path / FILE)


def test_pairs_come_by_layer(tmp_path):
    write_safetensors(tmp_path / FILE, tensors(layers=(11, 2), targets=("q_proj", "up_proj")))
    found = [(p.layer, p.linear, p.a.shape, p.b.shape) for p in read_pairs(tmp_path)]
    assert found == [
        (2, "mlp.up_proj", (4, 8), (12, 4)),
        (2, "self_attn.q_proj", (4, 8), (8, 4)),
        (11, "mlp.up_proj", (4, 8), (12, 4)),
        (11, "self_attn.q_proj", (4, 8), (8, 4)),
    ]


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("base_model.model.lm_head.weight", (4, 8)),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector.weight", (8,)),
        ("base_model.model.model.embed_tokens.lora_embedding_A", (4, 8)),
        ("base_model.model.model.layers.0.mlp.experts.up_proj.lora_A.weight", (4, 8)),
        ("base_model.model.model.layers.5.mlp.up_proj.lora_A.weight", (4, 8)),  # no partner
    ],
)
def test_odd_weights_are_refused(tmp_path, key, shape):
    write_safetensors(tmp_path / FILE, tensors() | {key: np.ones(shape, np.float32)})
    with pytest.raises(AdapterError, match=r"which llama\.cpp does not know|do not fit"):
        read_pairs(tmp_path)


def test_no_weights_at_all_are_refused(tmp_path):
    write_safetensors(tmp_path / FILE, {})
    with pytest.raises(AdapterError, match="holds no weights"):
        read_pairs(tmp_path)


def test_the_state_of_files_changes_when_they_do(tmp_path):
    folder = write_adapter(tmp_path / "a")
    before = file_state(folder)
    assert file_state(folder) == before
    write_config(folder, lora_alpha=77)
    assert file_state(folder) != before
    assert file_state(tmp_path / "none.gguf") == ()


def test_weights_of_the_same_size_and_time_are_told_apart(tmp_path):
    states = []
    for seed in (1, 2):
        folder = write_adapter(tmp_path / f"from{seed}")
        (tmp_path / "a").mkdir(exist_ok=True)
        for file in folder.iterdir():
            shutil.copyfile(file, tmp_path / "a" / file.name)
            os.utime(tmp_path / "a" / file.name, (1e9, 1e9))
        states.append(file_state(tmp_path / "a"))
    assert states[0] != states[1]
