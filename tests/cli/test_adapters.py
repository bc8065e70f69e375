import json
import shlex
import sys

import pytest

from llmrec_prompt.adapters import registry
from llmrec_prompt.adapters.card import Base

from ..adapters.made import BASE, SMOLLM2, card, write_adapter


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """An empty working folder, an empty home for adapters, and none shipped."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("LLMREC_ADAPTERS", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(registry, "_ROOM", tmp_path / "room" / "package")
    return tmp_path / "home"


@pytest.fixture
def source(tmp_path):
    return write_adapter(tmp_path / "run")


def test_nothing_there_is_said_and_no_error(llmrec):
    done = llmrec("adapters", "list")
    assert done.code == 0
    assert "llmrec adapt train" in done.err
    assert llmrec("adapters", "list", "--json").json == []


def test_add_list_show_remove(llmrec, source, places):
    added = llmrec("adapters", "add", source, "--json")
    assert added.json["folder"] == str(places / "toy-movies")
    (row,) = llmrec("adapters", "list", "--json").json
    assert row == added.json
    assert (row["name"], row["domain"], row["base"], row["mode"]) == (
        "toy-movies",
        "movies",
        "smollm2",
        "encoder",
    )
    assert "toy-movies" in llmrec("adapters", "list").out
    shown = llmrec("adapters", "show", "movies", "--json").json
    assert shown["users_trained_on"] == 2
    assert shown["base"] == {"ref": "smollm2", "hash": BASE, "same": []}
    assert "ndcg@10 uniform" in llmrec("adapters", "show", "toy-movies").out
    again = llmrec("adapters", "add", source)
    assert again.code == 1
    assert "--force" in again.err
    assert llmrec("adapters", "add", source, "--force").code == 0
    assert llmrec("adapters", "remove", "toy-movies", "--json").json["removed"] == "toy-movies"
    gone = llmrec("adapters", "show", "toy-movies")
    assert gone.code == 1
    assert gone.err.startswith("Error: Unknown adapter 'toy-movies'")


def test_verify_tells_every_check_and_fails_loudly(llmrec, source):
    good = llmrec("adapters", "verify", source, "--json")
    assert good.code == 0
    assert all(check["ok"] for check in good.json)
    (source / "optimizer.pt").write_bytes(b"x")
    bad = llmrec("adapters", "verify", source)
    assert bad.code == 1
    assert "optimizer.pt" in bad.out
    assert "1 of 8 checks" in bad.err
    as_json = llmrec("adapters", "verify", source, "--json")
    assert as_json.code == 1
    assert [check["check"] for check in json.loads(as_json.out) if not check["ok"]] == ["files"]


def test_verify_holds_it_against_a_model(llmrec, source):
    done = llmrec("adapters", "verify", source, "--model", "fake:overlap", "--json")
    assert done.code == 1
    assert [check["check"] for check in done.json if not check["ok"]] == ["base"]


def test_verify_reads_a_folder_whose_card_is_broken(llmrec, source):
    (source / "card.yaml").write_text("name: [")
    done = llmrec("adapters", "verify", source)
    assert done.code == 1
    assert "is no YAML" in " ".join(done.out.split())


def test_what_is_not_sound_is_not_added(llmrec, source, places):
    (source / "README.md").unlink()
    done = llmrec("adapters", "add", source)
    assert done.code == 1
    assert "missing: README.md" in done.err
    assert not places.exists()


def test_export_says_what_it_wants(llmrec, source):
    done = llmrec("adapters", "export", source)
    assert done.code == 1
    assert "--gguf OUT.gguf, --vllm or --llama-server" in done.err


def test_export_prints_vllms_command_line(llmrec, tmp_path):
    made = write_adapter(tmp_path / "run", card(base=Base(ref="hf:org/base@abc", hash="abc")))
    done = llmrec("adapters", "export", made, "--vllm")
    words = shlex.split(done.out)
    assert words[:5] == ["vllm", "serve", "org/base", "--revision", "abc"]
    assert f"toy-movies={made}" in words
    local = write_adapter(tmp_path / "local", card(base=Base(ref="hf:my-base", hash="abc")))
    asked = llmrec("adapters", "export", local, "--vllm")
    assert asked.err == (
        "Error: Adapter 'toy-movies' was trained on a model on disk, hf:my-base. Say where it is: "
        "--model hf:FOLDER or --model llama:FILE.gguf.\n"
    )
    assert llmrec("adapters", "export", local, "--vllm", "--model", f"hf:{tmp_path}").code == 0
    refused = llmrec("adapters", "export", made, "--llama-server")
    assert refused.code == 1
    assert "--model llama:FILE.gguf" in refused.err


def test_every_command_shows_an_example(llmrec):
    for command in ("list", "show", "add", "remove", "verify", "export"):
        assert f"llmrec adapters {command}" in " ".join(llmrec("adapters", command, "--help").out.split())


@pytest.mark.llama
@pytest.mark.hf
def test_export_writes_a_twin_that_both_engines_agree_on(llmrec, tmp_path):
    write_adapter(tmp_path / "run", size=SMOLLM2, dtype="BF16")
    out = tmp_path / "out" / "a.gguf"
    done = llmrec("adapters", "export", tmp_path / "run", "--gguf", out, "--vllm", "--llama-server", "--json")
    assert done.code == 0, done.err
    assert f"Writing {out}, then both engines load the base" in " ".join(done.err.split())
    check = done.json["check"]
    assert check["ok"]
    assert check["score_gap"] <= check["tolerance"] < 0.2 < check["effect"]
    assert 0.999 < check["least_cosine"] <= check["cosine"]
    words = shlex.split(done.json["llama_server"])
    assert words[words.index("--lora") + 1] == str(out)
    assert out.is_file()
    assert f"toy-movies={tmp_path / 'run'}" in shlex.split(done.json["vllm"])
    shown = llmrec("adapters", "show", out, "--json").json
    assert (shown["folder"], shown["users_trained_on"], shown["mode"]) == (str(out), 2, "encoder")
    assert llmrec("adapters", "verify", out, "--model", "smollm2").code == 0
    assert llmrec("adapters", "add", out).err.startswith(f"Error: {out} is an adapter in GGUF form")
    human = llmrec("adapters", "export", tmp_path / "run", "--gguf", out, "--no-check")
    assert human.code == 0
    assert "Not compared with peft" in human.err


@pytest.mark.llama
def test_export_refuses_another_base(llmrec, tmp_path):
    made = write_adapter(tmp_path / "run", card(base=Base(ref="smollm2", hash="0000")), SMOLLM2)
    done = llmrec("adapters", "export", made, "--gguf", tmp_path / "a.gguf", "--no-check")
    assert done.code == 1
    assert "trained on smollm2 (0000)" in done.err
    assert not (tmp_path / "a.gguf").exists()


@pytest.mark.llama
def test_without_peft_the_check_says_that_it_can_be_left_out(llmrec, tmp_path, monkeypatch):
    made = write_adapter(tmp_path / "run", size=SMOLLM2)
    for name in [name for name in sys.modules if name.startswith("llmrec_prompt.backends.hf")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "transformers", None)  # as if it were not installed
    done = llmrec("adapters", "export", made, "--gguf", tmp_path / "a.gguf")
    assert done.code == 1
    assert "which --no-check (check=False) leaves out, needs extra packages" in done.err
    assert not (tmp_path / "a.gguf").exists()
    assert llmrec("adapters", "export", made, "--gguf", tmp_path / "a.gguf", "--no-check").code == 0
