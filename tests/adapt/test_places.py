import os

import pytest

from llmrec_prompt.adapt.places import check_writable
from llmrec_prompt.errors import ConfigError


def test_places_that_can_be_made_pass_and_are_not_made(tmp_path, monkeypatch):
    check_writable(tmp_path / "deep" / "er", "--out")
    assert not list(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    check_writable(tmp_path.relative_to(tmp_path) / "adapters", "--out")


def test_a_file_is_no_place(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError, match=r"file is no folder\. Give another --runs"):
            check_writable(place, "--runs")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_no_place(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="may not be written to"):
        check_writable(tmp_path / "out", "--out")
