"""A run directory: a manifest of all that could change a number, and rows that are only ever appended.

Killed at any moment, a run goes on where it was; it refuses to mix rows of another manifest.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from llmrec_prompt.cache import write_atomically
from llmrec_prompt.errors import ConfigError, DataError

Row = dict[str, Any]
BLOCK = 1 << 16
"""Bytes looked at together from the end of a file."""


class RunDirectory:
    """One folder: `manifest.json`, `rows.jsonl`, and what is written beside them.

    `candidates.tsv`, `items.jsonl` and `sample.jsonl` say what was asked, `spent.jsonl` what preparing cost.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows_path = folder / "rows.jsonl"

    @classmethod
    def start(cls, folder: Path, manifest: Mapping[str, Any], *, resume: bool) -> "RunDirectory":
        """Make the directory, or go on in one of the same manifest.

        Raises:
            ConfigError: it exists and `resume` is not set, or its manifest says otherwise.
        """
        claim(folder / "manifest.json", manifest, resume=resume)
        return cls(folder)

    @property
    def manifest(self) -> dict[str, Any]:
        """What the run was made with.

        Raises:
            DataError: this is no run directory.
        """
        try:
            return dict(json.loads((self.folder / "manifest.json").read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise DataError(f"{self.folder} holds no manifest.json, so it is no evaluation run.") from error

    def rows(self) -> Iterator[Row]:
        """Complete rows in the order written; a last line that a kill cut off is not one.

        Raises:
            DataError: a line that is no JSON.
        """
        return read_lines(self.rows_path)

    def append(self, row: Row) -> None:
        """Write one row and hand it to the operating system at once."""
        append_line(self.rows_path, row)

    def mend(self) -> None:
        """Cut a half-written last line off, so that appending goes on after a whole one."""
        for path in (self.rows_path, self.folder / "spent.jsonl"):
            if path.exists():
                with path.open("rb+") as file:
                    file.truncate(_end_of_lines(file))


def claim(path: Path, manifest: Mapping[str, Any], *, resume: bool) -> None:
    """Write a manifest, or find the same one there.

    Raises:
        ConfigError: it is there and `resume` is not set, or it says otherwise.
    """
    if not path.exists():
        write_atomically(path, json.dumps(manifest, indent=2, ensure_ascii=False, sort_keys=True) + "\n")
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    differing = [k for k in {*found, *manifest} if found.get(k) != manifest.get(k)]
    if differing:
        key = min(differing)
        raise ConfigError(
            f"Run {path.parent} was made with {key} {found.get(key)!r:.200}, now it is "
            f"{manifest.get(key)!r:.200}. Choose another --out."
        )
    if not resume:
        raise ConfigError(f"Run {path.parent} is there already. Say --resume to go on, or another --out.")


def read_lines(path: Path) -> Iterator[Row]:
    """The complete JSON lines of a file, one at a time; none where there is no file.

    Raises:
        DataError: a line that is no JSON.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.endswith(b"\n"):
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise DataError(
                        f"{path}, line {number} is no JSON: the file was changed. Start another run."
                    ) from error


def append_line(path: Path, row: Mapping[str, Any]) -> None:
    """Add one JSON line."""
    with path.open("ab") as file:
        file.write(json.dumps(row, ensure_ascii=False, sort_keys=True).encode() + b"\n")


def _end_of_lines(file: IO[bytes]) -> int:
    """Where the last complete line ends, looked for from the end, so that no file is read as a whole."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - BLOCK)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def manifest_name(manifest: Mapping[str, Any]) -> str:
    """A folder name for a manifest: data, negatives, and a digest of all the rest."""
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:8]
    negatives = Path(str(manifest["negatives"])).stem
    return f"{manifest['data']}-{negatives}-{digest}"
