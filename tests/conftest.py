"""What all tests share: an own cache, real data where it lies, no network."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from llmrec_prompt.backends.models import PACKAGED
from llmrec_prompt.errors import MissingExtra

pytest_plugins = ["tests.cli.running"]

# Slow machines are no defect of a property, and a seed of its own makes every run the same.
settings.register_profile(
    "llmrec", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("llmrec")

SHARED = Path(os.environ.get("LLMREC_SHARED_DATA") or Path(__file__).parents[2] / "shared" / "data")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Caches of the tests; `LLMREC_TEST_CACHE` keeps prepared models from one run to the next."""
    folder = os.environ.get("LLMREC_TEST_CACHE") or _folder_of_the_run(tmp_path_factory)
    before = os.environ.get("LLMREC_CACHE")
    os.environ["LLMREC_CACHE"] = str(folder)
    yield Path(folder)
    if before is None:
        del os.environ["LLMREC_CACHE"]
    else:
        os.environ["LLMREC_CACHE"] = before


def _folder_of_the_run(tmp_path_factory) -> Path:
    """One for all processes of a run: a model taken apart by one of them serves the others."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "cache"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def shared_data():
    """Path of a real data set by name; the test is skipped, and says so, where there is none."""

    def find(name: str) -> Path:
        folder = SHARED / name
        if not folder.is_dir():
            pytest.skip(f"real data set {name} is not here; set LLMREC_SHARED_DATA to its parent folder")
        return folder

    return find


def packaged_or_skip(name: str) -> Path:
    """The file of a packaged model, or a skip that says what to install."""
    try:
        return PACKAGED[name].locate()
    except MissingExtra as error:
        pytest.skip(str(error))
