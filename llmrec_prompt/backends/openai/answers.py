"""Answers that were paid for, kept by everything they depend on, so that none is paid for twice."""

import contextlib
import json
import sqlite3
import uuid
from pathlib import Path
from typing import Any

from llmrec_prompt.cache import open_store


class AnswerStore:
    """A persistent mapping from content keys to JSON (SQLite). Several processes may use it at once.

    What cannot be kept (a read-only or full disk) is asked again; what is damaged is as if it were not there.
    An answer may repeat its prompt, histories and all: only the user who made the file may read it.
    A call that was sent is marked until it is settled: if its process is killed, the next one knows.
    """

    def __init__(self, path: Path) -> None:
        _make_for_one(path)
        self._db = open_store(
            path,
            "answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)",
            "sent (key TEXT PRIMARY KEY, name TEXT NOT NULL)",
        )

    def get(self, key: str) -> Any:
        """The answer of a key, or None."""
        with contextlib.suppress(sqlite3.Error, ValueError):
            row = self._db.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
            return json.loads(row[0]) if row else None
        return None

    def put(self, key: str, answer: Any) -> None:
        """Keep an answer; its call is settled."""
        with contextlib.suppress(sqlite3.Error), self._db:
            self._db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, json.dumps(answer)))
            self._db.execute("DELETE FROM sent WHERE key = ?", (key,))

    def mark_sent(self, key: str) -> tuple[str, bool]:
        """Note that a call is about to be sent.

        Returns:
            What a server may know it by if it comes again (the Idempotency-Key of the IETF's httpapi draft: a
            random name, the same until the call is settled), and whether it was noted before: then a process
            sent it, and died before it had an answer.
        """
        name = uuid.uuid4().hex
        with contextlib.suppress(sqlite3.Error), self._db:
            self._db.execute("INSERT OR IGNORE INTO sent VALUES (?, ?)", (key, name))
            known: str = self._db.execute("SELECT name FROM sent WHERE key = ?", (key,)).fetchone()[0]
            return known, known != name
        return name, False

    def settle(self, key: str) -> None:
        """A call failed, and will never be answered."""
        with contextlib.suppress(sqlite3.Error), self._db:
            self._db.execute("DELETE FROM sent WHERE key = ?", (key,))

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _make_for_one(path: Path) -> None:
    """Make a file, and its folder, for their owner alone; SQLite would make them for whom the umask says."""
    with contextlib.suppress(OSError):
        path.parent.parent.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.touch(mode=0o600)
