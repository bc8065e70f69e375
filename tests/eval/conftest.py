"""The scripts in eval/ are no package: they are imported as they are run, from their folder."""

import sys
from pathlib import Path

import pytest

SCRIPTS = str(Path(__file__).parents[2] / "eval")
if SCRIPTS not in sys.path:
    sys.path.append(SCRIPTS)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Runs are kept under the folder a script is called in."""
    monkeypatch.chdir(tmp_path)
