"""Real servers of a GGUF file on 127.0.0.1, each a process: llama-server and llama-cpp-python's."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LLAMA_SERVER = """
import json, sys, xllamacpp
given, p = json.loads(sys.argv[1]), xllamacpp.CommonParams()
p.model.path, p.port, p.hostnames = given["model"], given["port"], ["127.0.0.1"]
p.n_ctx, p.n_parallel, p.warmup = given["context"], 1, False
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = given["threads"]
if given["exact"]:
    p.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    p.cache_type_k = p.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
if given["embeddings"]:
    p.embedding, p.pooling_type = True, xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_LAST
p.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(path, 1.0) for path in given["adapters"]]
server = xllamacpp.Server(p)
sys.stdin.read()
"""
START = 120
"""Seconds a server may take until it answers."""
NEEDS = {"llama-server": ("xllamacpp",), "llama-cpp-python": ("llama_cpp", "uvicorn", "starlette_context")}


def missing(kind: str) -> list[str]:
    return [package for package in NEEDS[kind] if not importlib.util.find_spec(package)]


@dataclass(frozen=True)
class Serving:
    """How a file is served. `exact`: attention in single precision; `embeddings`: those, and nothing else."""

    context: int = 2048
    threads: int = 1
    exact: bool = False
    embeddings: bool = False
    adapters: tuple[str, ...] = ()


def command(kind: str, model: Path, port: int, how: Serving) -> Sequence[str]:
    if kind == "llama-server":
        given = {"model": str(model), "port": port, **asdict(how)}
        return [sys.executable, "-c", LLAMA_SERVER, json.dumps(given)]
    options = {"model": model, "host": "127.0.0.1", "port": port, "n_ctx": how.context}
    options |= {"n_threads": how.threads, "n_threads_batch": how.threads}
    options |= {"logits_all": "true", "verbose": "false"}
    options |= {"flash_attn": "false", "type_k": 0, "type_v": 0} if how.exact else {}
    options |= {"embedding": "true"} if how.embeddings else {}
    return [
        sys.executable,
        "-m",
        "llama_cpp.server",
        *(w for k, v in options.items() for w in (f"--{k}", str(v))),
    ]


@contextmanager
def real_server(kind: str, model: Path, **how: Any) -> Iterator[str]:
    """The base URL of a server that is ready; it ends with the block. Options as of `Serving`."""
    port, settings = _free_port(), Serving(**how)
    process = subprocess.Popen(
        command(kind, model, port, settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": str(settings.threads)},
    )
    url = f"http://127.0.0.1:{port}/v1"
    try:
        _await(f"{url}/models", process)
        yield url
    finally:
        process.kill()
        process.communicate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"{url} does not answer")
