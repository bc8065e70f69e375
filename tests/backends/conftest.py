"""Each real model is loaded once a session, and shared by all tests that ask for it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmrec_prompt.backends.base import Backend

from .engines import load_engine

# torch's threads wait for each other spinning; beside any other busy process that costs a factor of ten.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def engine(own_cache) -> Iterator[Callable[[str], Backend]]:
    """Gives the named backend, loaded at the first call."""
    loaded: dict[str, Backend] = {}

    def get(name: str) -> Backend:
        if name not in loaded:
            loaded[name] = load_engine(name)
        return loaded[name]

    yield get
    for backend in loaded.values():
        backend.close()


@pytest.fixture
def shared_folder() -> Path:
    """Where real data sets lie, if they do."""
    return Path(os.environ.get("LLMREC_SHARED_DATA") or Path(__file__).parents[3] / "shared" / "data")
