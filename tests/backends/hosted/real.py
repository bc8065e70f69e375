"""Real servers of a GGUF file on 127.0.0.1, each a process: llama-server and llama-cpp-python's."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

LLAMA_SERVER = """
import sys, xllamacpp
p = xllamacpp.CommonParams()
p.model.path, p.port, p.hostnames = sys.argv[1], int(sys.argv[2]), ["127.0.0.1"]
p.n_ctx, p.n_parallel, p.warmup = int(sys.argv[3]), 1, False
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = int(sys.argv[4])
if sys.argv[5] == "exact":
    p.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    p.cache_type_k = p.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
server = xllamacpp.Server(p)
sys.stdin.read()
"""
START = 120
"""Seconds a server may take until it answers."""
NEEDS = {"llama-server": ("xllamacpp",), "llama-cpp-python": ("llama_cpp", "uvicorn", "starlette_context")}


def missing(kind: str) -> list[str]:
    return [package for package in NEEDS[kind] if not importlib.util.find_spec(package)]


def command(kind: str, model: Path, port: int, context: int, threads: int, *, exact: bool) -> Sequence[str]:
    numbers = [str(n) for n in (port, context, threads)]
    if kind == "llama-server":
        return [sys.executable, "-c", LLAMA_SERVER, str(model), *numbers, "exact" if exact else ""]
    options = {"model": model, "host": "127.0.0.1", "port": port, "n_ctx": context, "n_threads": threads}
    options |= {"n_threads_batch": threads, "logits_all": "true", "verbose": "false"}
    options |= {"flash_attn": "false", "type_k": 0, "type_v": 0} if exact else {}
    return [
        sys.executable,
        "-m",
        "llama_cpp.server",
        *(w for k, v in options.items() for w in (f"--{k}", str(v))),
    ]


@contextmanager
def real_server(
    kind: str, model: Path, *, context: int = 2048, threads: int = 1, exact: bool = False
) -> Iterator[str]:
    """The base URL of a server that is ready; it ends with the block. `exact`: single-precision attention."""
    port = _free_port()
    process = subprocess.Popen(
        command(kind, model, port, context, threads, exact=exact),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
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
