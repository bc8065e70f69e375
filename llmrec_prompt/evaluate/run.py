"""A run directory: a manifest of all that could change a number, and rows that are only ever appended.

Killed at any moment, a run goes on where it was; it refuses to mix rows of another manifest.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llmrec_prompt.errors import ConfigError, DataError

Row = dict[str, Any]


class RunDirectory:
    """`manifest.json`, `candidates.jsonl` and `rows.jsonl` in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows_path = folder / "rows.jsonl"

    @classmethod
    def start(cls, folder: Path, manifest: Mapping[str, Any], *, resume: bool) -> "RunDirectory":
        """Make the directory, or go on in one of the same manifest.

        Raises:
            ConfigError: it exists and `resume` is not set, or its manifest says otherwise.
        """
        run = cls(folder)
        path = folder / "manifest.json"
        if path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            differing = [k for k in {*found, *manifest} if found.get(k) != manifest.get(k)]
            if differing:
                key = sorted(differing)[0]
                raise ConfigError(
                    f"Run {folder} was made with {key} {found.get(key)!r}, now it is {manifest.get(key)!r}. "
                    "Choose another --out."
                )
            if not resume:
                raise ConfigError(f"Run {folder} is there already. Say --resume to go on, or another --out.")
        else:
            write_atomically(path, json.dumps(manifest, indent=2, ensure_ascii=False, sort_keys=True) + "\n")
        return run

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
        """Complete rows in the order written; a last line that a kill cut off is not one."""
        if not self.rows_path.exists():
            return
        with self.rows_path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield json.loads(line)

    def append(self, row: Row) -> None:
        """Write one row and hand it to the operating system at once."""
        with self.rows_path.open("ab") as file:
            file.write(json.dumps(row, ensure_ascii=False, sort_keys=True).encode() + b"\n")

    def mend(self) -> None:
        """Cut a half-written last line off, so that appending goes on after a whole one."""
        if not self.rows_path.exists():
            return
        with self.rows_path.open("rb+") as file:
            data = file.read()
            file.truncate(data.rfind(b"\n") + 1)


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that it is there wholly or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def manifest_name(manifest: Mapping[str, Any]) -> str:
    """A folder name for a manifest: data, negatives, and a digest of all the rest."""
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:8]
    negatives = Path(str(manifest["negatives"])).stem
    return f"{manifest['data']}-{negatives}-{digest}"
