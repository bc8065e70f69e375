import pytest


@pytest.fixture
def places(tmp_path, monkeypatch):
    """An empty working folder and an empty home; of what a user has, nothing else is searched."""
    here, home = tmp_path / "here", tmp_path / "home"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("LLMREC_ADAPTERS", str(home))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return here, home
