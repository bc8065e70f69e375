"""Command lines that serve an adapter elsewhere: vLLM and llama-server."""

import shlex
from pathlib import Path

from llmrec_prompt.adapters.card import Card

VLLM_RANKS = (1, 8, 16, 32, 64)
"""The values `vllm serve --max-lora-rank` takes, as far as adapters here go."""
ENCODER = "encoder"


def vllm_command(card: Card, folder: Path, base: str) -> str:
    """Serve base (a folder or a hub id) and adapter by vLLM; requests choose by name, the base's or its.

    An encoder is served as a pooling model: `/v1/embeddings` answers the last token's state, normalised.
    """
    rank = next(rank for rank in VLLM_RANKS if rank >= card.lora.r)
    name, at, revision = base.partition("@")
    words = ["vllm", "serve", name, *(["--revision", revision] if at else [])]
    words += ["--enable-lora", "--max-lora-rank", str(rank)]
    words += ["--lora-modules", f"{card.name}={folder}"]
    if card.mode == ENCODER:
        words += ["--runner", "pooling", "--convert", "embed"]
    return shlex.join(words)


def llama_server_command(card: Card, base: Path, twin: Path) -> str:
    """Serve base and adapter by llama.cpp's server, the adapter switched on.

    A request switches it off with `"lora": [{"id": 0, "scale": 0}]`. An encoder is served as an embedding
    model: `/v1/embeddings` answers the last token's state, normalised.
    """
    words = ["llama-server", "-m", str(base), "--lora", str(twin)]
    if card.mode == ENCODER:  # a whole text has to fit into one physical batch
        words += ["--embeddings", "--pooling", "last", "--batch-size", "2048", "--ubatch-size", "2048"]
    return shlex.join(words)
