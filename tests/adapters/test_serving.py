import shlex
from pathlib import Path

from llmrec_prompt.adapters import Lora
from llmrec_prompt.adapters.serving import llama_server_command, vllm_command

from .made import card


def options(command):
    words = shlex.split(command)
    return {word: words[i + 1] for i, word in enumerate(words[:-1]) if word.startswith("-")}, words


def test_vllm_gets_the_next_rank_it_knows():
    made = card(mode="likelihood", lora=Lora(r=9, alpha=8, targets=("q_proj",)))
    found, words = options(vllm_command(made, Path("/my adapters/a"), "org/base@abc"))
    assert words[:3] == ["vllm", "serve", "org/base"]
    assert found["--revision"] == "abc"
    assert found["--max-lora-rank"] == "16"
    assert found["--lora-modules"] == "toy-movies=/my adapters/a"
    assert "--enable-lora" in words
    assert "--runner" not in words


def test_encoders_are_served_as_embedding_models():
    found, _ = options(vllm_command(card(), Path("/a"), "/base"))
    assert (found["--runner"], found["--convert"], found["--max-lora-rank"]) == ("pooling", "embed", "8")
    found, words = options(llama_server_command(card(), Path("/b.gguf"), Path("/t.gguf")))
    assert (found["-m"], found["--lora"], found["--pooling"]) == ("/b.gguf", "/t.gguf", "last")
    assert "--embeddings" in words


def test_llama_server_generates_otherwise():
    words = shlex.split(llama_server_command(card(mode="likelihood"), Path("/b.gguf"), Path("/t.gguf")))
    assert words == ["llama-server", "-m", "/b.gguf", "--lora", "/t.gguf"]
