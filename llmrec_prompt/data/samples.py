"""The packaged sample data sets ("sample:movies"). Knows their folder, not their content."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path

from llmrec_prompt.errors import UnknownName

SAMPLE = "sample:"


def sample_names() -> tuple[str, ...]:
    """Names of the packaged data sets, sorted."""
    root = files("llmrec_prompt.data") / "sample"
    if not root.is_dir():
        return ()
    return tuple(sorted(entry.name for entry in root.iterdir() if (entry / "items.jsonl").is_file()))


@contextmanager
def sample_folder(name: str) -> Iterator[Path]:
    """A packaged data set as a folder on disk, for the time of the block.

    Raises:
        UnknownName: there is no such set.
    """
    known = sample_names()
    if name not in known:
        raise UnknownName("sample data set", name, known)
    with as_file(files("llmrec_prompt.data") / "sample" / name) as folder:
        yield folder
