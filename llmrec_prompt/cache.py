"""Where things that can be computed again are kept, and a content-addressed store of numbers.

Keys say everything that could change a value; values are plain arrays of numbers, never pickle.
"""

import contextlib
import hashlib
import os
import secrets
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import platformdirs

Numbers = npt.NDArray[Any]


def cache_dir() -> Path:
    """`$LLMREC_CACHE`, or the platform's place for caches."""
    return Path(os.environ.get("LLMREC_CACHE") or platformdirs.user_cache_dir("llmrec-prompt"))


def offline() -> bool:
    """Whether `LLMREC_OFFLINE` forbids every use of the network; then only what is on disk is loaded."""
    return os.environ.get("LLMREC_OFFLINE", "") not in ("", "0")


def file_stamp(path: Path) -> tuple[int, ...]:
    """Of a file, numbers that change whenever it is written or replaced.

    The time of the last change of the inode is among them: images, rsync and build tools set the time of
    writing as they please, and adapters of one kind have one size.

    Raises:
        OSError: there is no such file.
    """
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def file_hash(path: Path) -> str:
    """16 hex digits of the SHA-256 of a file; remembered per path and stamp so that it is read once."""
    memo = cache_dir() / "hashes" / content_key(str(path.resolve()), *map(str, file_stamp(path)))[:32]
    with contextlib.suppress(OSError):
        return memo.read_text()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    with contextlib.suppress(OSError):  # a cache that cannot be written: hashed again next time
        write_atomically(memo, digest)
    return digest


def content_key(*parts: str) -> str:
    """A key for everything a value depends on.

    >>> content_key("a", "b") == content_key("ab", "")
    False
    """
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:40]


class NumberStore:
    """A persistent mapping from content keys to arrays of one number type (SQLite, raw bytes).

    Safe with several processes and threads at once. A store that cannot be opened (a read-only disk) works in
    memory instead, and one that breaks later knows nothing, because a cache may never be the reason that a
    ranking fails.

    Args:
        path: the file; None keeps everything in memory.
        dtype: number type of the values, little-endian on disk.
    """

    def __init__(self, path: Path | None, *, dtype: str = "<f8") -> None:
        self._dtype = np.dtype(dtype)
        self._lock = threading.Lock()  # one connection for all threads
        self._db = open_store(path, "numbers (key TEXT PRIMARY KEY, value BLOB NOT NULL)")

    def get(self, keys: Sequence[str]) -> dict[str, Numbers]:
        """The values of those keys that are known."""
        found: dict[str, Numbers] = {}
        for begin in range(0, len(keys), 500):
            part = keys[begin : begin + 500]
            marks = ",".join("?" * len(part))
            try:
                with self._lock:
                    query = f"SELECT key, value FROM numbers WHERE key IN ({marks})"
                    rows = self._db.execute(query, part).fetchall()
                found.update((key, np.frombuffer(value, self._dtype)) for key, value in rows)
            except sqlite3.DatabaseError:  # damaged or locked for long: computed again
                continue
        return found

    def put(self, values: Mapping[str, Numbers]) -> None:
        """Keep values; a key that is there already keeps its value."""
        rows = [(key, np.asarray(value, self._dtype).tobytes()) for key, value in values.items()]
        try:
            with self._lock, self._db:
                self._db.executemany("INSERT OR IGNORE INTO numbers VALUES (?, ?)", rows)
        except sqlite3.DatabaseError:  # read-only, full or damaged: the numbers are computed again next time
            return

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def open_store(path: Path | None, *tables: str) -> sqlite3.Connection:
    """A database for all threads: of a file, or in memory where there is none or it cannot be opened.

    Args:
        path: the file; folders on the way to it are made.
        tables: names and columns of the tables that it has, made if they are not there.
    """
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        return _opened(":memory:" if path is None else str(path), tables)
    except (OSError, sqlite3.Error):
        return _opened(":memory:", tables)


def _opened(target: str, tables: Sequence[str]) -> sqlite3.Connection:
    db = sqlite3.connect(target, timeout=30, check_same_thread=False)
    try:
        for table in tables:
            db.execute(f"CREATE TABLE IF NOT EXISTS {table}")
        db.commit()
    except sqlite3.Error:
        db.close()
        raise
    return db


def write_atomically(path: Path, text: str) -> Path:
    """Write a file so that it is there wholly or not at all; gives its path."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
    return path


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives where to write a file that shall be there wholly or not at all; at the end it becomes `path`.

    On an error what was there before stays, and nothing is left of the new. Any number of processes and
    threads may write the same file at once: the last one stays. A file that was there keeps its mode, and a
    link goes on to point where it did.

    Raises:
        OSError: it cannot be written there.
    """
    path = path.resolve() if path.is_symlink() else path
    partial = _beside(path)
    try:
        if path.exists():
            partial.touch(path.stat().st_mode & 0o777)  # who could not read it shall not read this meanwhile
        yield partial
        if path.exists():
            partial.chmod(path.stat().st_mode & 0o7777)  # nor now; some writers make the file anew
        partial.replace(path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


@contextlib.contextmanager
def whole_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Gives an empty folder to fill, which at the end becomes `path`; nothing is left of it on an error.

    Its files may then be read by whoever may read the folder: safetensors makes them for their owner alone.

    Args:
        path: the folder to be.
        replace: whether a folder that is there already goes, once the new one is filled.

    Raises:
        OSError: it cannot be written there, or there is such a folder already that is not to be replaced.
    """
    partial = _beside(path)
    partial.mkdir()
    try:
        yield partial
        for file in partial.iterdir():
            if file.is_file():
                file.chmod(partial.stat().st_mode & 0o666)  # as the umask had it for the folder
        if replace and path.exists():
            shutil.rmtree(path)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _beside(path: Path) -> Path:
    # Processes of several containers have the same ids, and may share a cache.
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f"{path.name}.{secrets.token_hex(8)}.partial")
