"""A run directory: a manifest of all that could change a number, and rows that are only ever appended.

Killed at any moment, a run goes on where it was; it refuses to mix rows of another manifest.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from llmrec_prompt.cache import write_atomically
from llmrec_prompt.errors import ConfigError, DataError

try:
    import fcntl
except ImportError:  # Windows: there a second process is not noticed
    fcntl = None  # type: ignore[assignment]

Row = dict[str, Any]
OF_REPORT = ("baseline",)
"""What a manifest says that changes no number: whatever it is, a run goes on."""
FOLLOWS = frozenset({
    "adapter_hash", "adapter_name", "auto", "card", "code", "data_fingerprint", "embeds_with", "encoder",
    "engine", "exam", "learnt", "met", "model_hash", "sizes", "template_fingerprint", "times", "version",
    "weights",
})  # fmt: skip
"""What a manifest says that nobody sets: it follows from the settings, the data and what is installed."""
BLOCK = 1 << 16
"""Bytes looked at together from the end of a file."""


class RunDirectory:
    """One folder: `manifest.json`, `rows.jsonl`, and what is written beside them.

    `candidates.tsv` (or `left_out.tsv`), `items.jsonl` and `sample.jsonl` say what was asked, `spent.jsonl`
    what preparing cost.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows_path = folder / "rows.jsonl"
        self._locked = False

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
            DataError: this is no run directory, or its manifest is no JSON object.
        """
        return read_manifest(self.folder / "manifest.json")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing to the run; may be nested.

        The operating system frees the lock when the process ends, however that happens.

        Raises:
            ConfigError: another process writes to the run.
        """
        if self._locked or fcntl is None:
            yield
            return
        with self.rows_path.open("ab") as file:
            self._claim_rows(file)
            self._locked = True
            try:
                yield
            finally:
                self._locked = False

    def _claim_rows(self, file: IO[bytes]) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"Another process is at work in run {self.folder}. Wait until it has ended and say --resume, "
                "or choose another --out."
            ) from error
        except OSError:  # a file system without locks: as on platforms without them
            return

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
    """Write a manifest, or find the same one there; of what only the report asks for the newer one stands.

    Raises:
        ConfigError: it is there and `resume` is not set, it says otherwise, or it cannot be written.
        DataError: what is there is no JSON object.
    """
    try:
        if not path.exists():
            write_manifest(path, manifest)
            return
    except OSError as error:
        why = error.strerror or error
        raise ConfigError(f"Cannot write to {path.parent}: {why}. Choose another --out.") from error
    found = read_manifest(path)
    if different := _differences(found, manifest):
        raise ConfigError(f"Run {path.parent} {different}. Choose another --out.")
    if not resume:
        raise ConfigError(f"Run {path.parent} is there already. Say --resume to go on, or another --out.")
    if found != manifest:
        write_manifest(path, manifest)


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write a manifest; its keys are in order, so that the same one is the same bytes."""
    write_atomically(path, json.dumps(manifest, indent=2, ensure_ascii=False, sort_keys=True) + "\n")


def _differences(found: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    """In words: what somebody set differently with both values, then the names of what follows from it."""
    keys = {*found, *manifest}.difference(OF_REPORT)
    differing = sorted(key for key in keys if found.get(key) != manifest.get(key))
    own = [key for key in differing if key not in FOLLOWS] or differing
    rest = [key for key in differing if key not in own]
    also = f" (with it differ {', '.join(rest)})" if rest else ""
    return " and ".join(_difference(key, found, manifest) for key in own) + also


def _difference(key: str, found: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    now = f"now it is {manifest.get(key)!r:.200}"
    if key not in found:
        return f"does not say with what {key} it was made, {now}"
    return f"was made with {key} {found[key]!r:.200}, {now}"


def read_manifest(path: Path) -> dict[str, Any]:
    """A manifest as plain values.

    Raises:
        DataError: it is not there, or is no JSON object with something in it.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path.parent} holds no {path.name}, so it is no evaluation run.") from error
    except ValueError:
        found = None
    if not isinstance(found, dict) or not found:
        raise DataError(f"{path} is damaged: it holds no settings. Start another run.")
    return found


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
    """Add one JSON line.

    Raises:
        OSError: it cannot be written, on a full disk for one; it names the file.
    """
    line = json.dumps(row, ensure_ascii=False, sort_keys=True).encode() + b"\n"
    try:
        with path.open("ab") as file:
            file.write(line)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


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
    content = {key: value for key, value in manifest.items() if key not in OF_REPORT}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
    negatives = Path(str(manifest["negatives"])).stem
    return f"{manifest['data']}-{negatives}-{digest}"
