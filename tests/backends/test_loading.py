"""From a reference to the file that is loaded, also where no copy of it can be kept."""

import resource

import pytest

from llmrec_prompt.backends import parse_ref
from llmrec_prompt.backends.loading import gguf_file, half_precision_copy
from llmrec_prompt.backends.models import gguf_path
from llmrec_prompt.cache import file_hash

MEGABYTE = 1 << 20


@pytest.fixture
def full_disk():
    """No file can grow beyond a megabyte."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MEGABYTE, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.llama
def test_where_a_fast_copy_cannot_be_kept_the_file_serves_as_it_is(tmp_path, monkeypatch, caplog, full_disk):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path))
    source = gguf_path("smollm2")
    assert gguf_file(parse_ref("smollm2")) == (source, file_hash(source))
    assert "Cannot keep a fast copy of" in caplog.text
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.llama
def test_what_stands_in_the_way_of_a_copy_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "models").write_text("a file where the folder should be")
    source = gguf_path("smollm2")
    assert half_precision_copy(source, "digest") == source
