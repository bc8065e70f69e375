"""A tiny language model and planted data, made once for all tests of training."""

from pathlib import Path

import pytest

from .planted import plant, tiny_model


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """The folder of a tiny random model; its reference is f"hf:{tiny}"."""
    pytest.importorskip("peft", reason="training is NOT TESTED: the extra [hf] is not installed")
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def ring(tmp_path_factory) -> Path:
    """The next item follows from the last, and shares no word with it."""
    return plant(tmp_path_factory.mktemp("data") / "ring")


@pytest.fixture(scope="session")
def groups(tmp_path_factory) -> Path:
    """The next item shares a word with the last."""
    return plant(tmp_path_factory.mktemp("data") / "groups", step=6, length=5)


@pytest.fixture(scope="session")
def bare(tmp_path_factory) -> Path:
    """The catalogue of `groups`, and no logs at all."""
    return plant(tmp_path_factory.mktemp("data") / "bare", users=0)


@pytest.fixture(scope="session")
def deep(tmp_path_factory) -> Path:
    """A tiny model of three layers, for what takes one more step of thought."""
    pytest.importorskip("peft", reason="training is NOT TESTED: the extra [hf] is not installed")
    return tiny_model(tmp_path_factory.mktemp("model") / "deep", layers=3)
