"""Batches under way, noted on disk before they are sent: what a killed process leaves to the next one."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from llmrec_prompt.cache import content_key, write_atomically


@dataclass(frozen=True, slots=True)
class Note:
    """One batch."""

    file: str
    """The server's name of the file with its requests; a file is one batch and no more."""
    path: str
    """After `/v1`."""
    keys: tuple[str, ...]
    """What its calls are known by."""
    batch: str = ""
    """The server's name of the batch; empty while nobody knows whether the server took it."""


class Notes:
    """The notes of a folder, by their file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own = {note.file: note for note in map(_read, sorted(folder.glob("*.json"))) if note}

    def __contains__(self, file: str) -> bool:
        return file in self._own

    def __getitem__(self, file: str) -> Note:
        return self._own[file]

    def of_calls(self) -> dict[str, str]:
        """Call → file of the batch that it is in."""
        return {key: note.file for note in self._own.values() for key in note.keys}

    def write(self, note: Note) -> None:
        """Note a batch, or what is newly known of it."""
        write_atomically(self._path(note.file), json.dumps(asdict(note)))
        self._own[note.file] = note

    def taken(self, file: str, batch: str) -> Note:
        """The server took it under a name."""
        self.write(note := replace(self._own[file], batch=batch))
        return note

    def drop(self, file: str) -> None:
        """It is over."""
        self._path(file).unlink(missing_ok=True)
        self._own.pop(file, None)

    def _path(self, file: str) -> Path:
        # By a hash: a name that the server chose could lead out of the folder.
        return self._folder / f"{content_key(file)[:16]}.json"


def _read(path: Path) -> Note | None:
    """A note; None if it is damaged, or another process has just dropped it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Note(**{**found, "keys": tuple(found["keys"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
