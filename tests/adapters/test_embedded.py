"""A GGUF twin that was exported is the adapter that it came from: card, users, checks."""

import os
import struct

import pytest

from llmrec_prompt.adapters import Card, find, find_served, overlap, read_users, texts_in, verify, write_users
from llmrec_prompt.adapters.gguf import Shape, twin, write_twin
from llmrec_prompt.errors import AdapterError

from .made import BASE, card, write_adapter

pytest.importorskip("gguf", reason="GGUF twins are NOT TESTED: the extra [local] is not installed")
LLAMA = Shape("llama", 2, 1)


@pytest.fixture
def folder(tmp_path):
    return write_adapter(tmp_path / "a")


@pytest.fixture
def exported(folder, tmp_path):
    return write_twin(folder, tmp_path / "a.gguf", LLAMA)


def test_card_and_users_go_with_the_file(folder, exported, monkeypatch):
    monkeypatch.chdir(exported.parent)
    for what in (exported, "a.gguf"):
        found = find_served(what, f"{BASE}-f16")
        assert (found.folder, found.card) == (exported, Card.load(folder))
    assert read_users(exported) == read_users(folder)
    assert len(read_users(exported)) == 2


def test_users_that_were_trained_on_are_found(exported):
    from .test_users import logs

    assert overlap(exported, logs("toy"), ["u0", "u1", "u2"]) == {"u1", "u2"}


def test_another_base_is_refused(exported):
    with pytest.raises(AdapterError, match="was trained on smollm2"):
        find_served(exported, "0" * 16)


def test_it_is_verified_as_far_as_it_goes(exported):
    checks = {check.name: check.ok for check in verify(exported, BASE)}
    assert checks == {"card": True, "templates": True, "users": True, "base": True}
    assert [check.name for check in verify(exported, "0" * 16) if not check.ok] == ["base"]


def test_what_needs_the_folder_says_so(exported):
    with pytest.raises(AdapterError, match=r"a.gguf is an adapter in GGUF form.*Give its PEFT folder"):
        find(exported)


def test_a_file_written_anew_is_read_anew(tmp_path, exported):
    assert find_served(exported).card.name == "toy-movies"
    other = write_adapter(tmp_path / "b", card("toy-series"))
    os.utime(exported, (1e9, 1e9))
    write_twin(other, exported, LLAMA)
    os.utime(exported, (1e9, 1e9))
    assert find_served(exported).card.name == "toy-series"


def test_a_twin_of_the_cache_tells_nothing_because_cards_may_share_it(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path / "cache"))
    with twin(folder, LLAMA) as made:
        assert texts_in(made) == {}
        with pytest.raises(AdapterError, match=r"holds no card\. Export it with"):
            find_served(made)


def test_what_is_no_gguf_is_an_error_of_one_line(tmp_path):
    with pytest.raises(AdapterError, match=r"Cannot read the adapter .*none.gguf: No such file"):
        find_served(tmp_path / "none.gguf")
    for content in (b"", b"GGUF", b"GGUF but not really one, for all its length"):
        (tmp_path / "bad.gguf").write_bytes(content)
        with pytest.raises(AdapterError, match=r"bad.gguf cannot be read as GGUF") as said:
            find_served(tmp_path / "bad.gguf")
        assert "\n" not in str(said.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (struct.pack("<IIQ", 9, 0, 2**40), f"it ends before {2**40} bytes"),  # a list of bytes
        (struct.pack("<IIQ", 9, 8, 2**40), "it ends before|requires a buffer"),  # of texts
        (struct.pack("<IIQ", 9, 9, 2**40), "requires a buffer"),  # of lists
        (struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 10_000, "recursion"),
        (struct.pack("<IQ", 8, 2**63), f"it ends before {2**63} bytes"),
        (struct.pack("<I", 77), "a value of kind 77"),
    ],
)
def test_lengths_beyond_the_file_are_an_error_at_once(tmp_path, values, said):
    path = tmp_path / "bomb.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60) + struct.pack("<Q", 1) + b"a" + values)
    with pytest.raises(AdapterError, match=rf"bomb.gguf cannot be read as GGUF: .*({said})") as caught:
        texts_in(path)
    assert "\n" not in str(caught.value)


def test_values_of_every_kind_are_passed_over(tmp_path):
    from gguf import GGUFWriter

    writer = GGUFWriter(tmp_path / "a.gguf", "llama")
    for kind in (
        "uint8",
        "int8",
        "uint16",
        "int16",
        "uint32",
        "int32",
        "uint64",
        "int64",
        "float32",
        "float64",
    ):
        getattr(writer, f"add_{kind}")(kind, 1)
    writer.add_bool("bool", True)
    for name, values in {"numbers": [1, 2, 3], "texts": ["a", "bc"], "lists": [[1], [2, 3]]}.items():
        writer.add_array(name, values)
    writer.add_string("llmrec.users", "0123")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    assert texts_in(tmp_path / "a.gguf") == {"users.txt": "0123"}


def test_many_users_fit(folder, tmp_path):
    hashes = {f"{n:016x}" for n in range(50_000)}
    write_users(folder, hashes)
    assert read_users(write_twin(folder, tmp_path / "a.gguf", LLAMA)) == hashes
