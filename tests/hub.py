"""A Hugging Face hub on 127.0.0.1: what downloads use of its API, over folders `org/name` on disk."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


def commit_of(folder: Path) -> str:
    """40 hex digits over all files: what a revision of the repository is called."""
    parts = b"".join(str(p.relative_to(folder)).encode() + p.read_bytes() for p in files_in(folder))
    return hashlib.sha1(parts).hexdigest()


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


class Hub:
    """The server's folder, its address, and what it was asked for, as (method, path)."""

    def __init__(self, root: Path, url: str) -> None:
        self.root, self.url = root, url
        self.seen: list[tuple[str, str]] = []

    @property
    def files(self) -> set[str]:
        """Names of the files that were sent."""
        return {
            path.rpartition("/")[2] for method, path in self.seen if "/resolve/" in path and method == "GET"
        }


@contextmanager
def serving_hub(root: Path) -> Iterator[Hub]:
    """A hub whose repositories are the folders two levels below `root`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.hub = Hub(root, f"http://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.hub  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.hub.seen.append((self.command, path))  # type: ignore[attr-defined]
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            return self._tell("/".join(parts[2:4]), parts[4:])
        if parts[2:3] == ["resolve"]:
            return self._give("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        return self._send(404, b"{}")

    def _tell(self, name: str, rest: list[str]) -> None:
        folder = self._folder(name)
        if folder is None:
            return self._missing("RepoNotFound")
        if len(rest) > 1 and rest[1] not in _revisions(folder):
            return self._missing("RevisionNotFound")
        entries = [
            {
                "type": "file",
                "path": str(path.relative_to(folder)),
                "size": path.stat().st_size,
                "oid": _tag(path),
            }
            for path in files_in(folder)
        ]
        if rest[:1] == ["tree"]:
            if len(rest) > 2:
                return self._missing("EntryNotFound")
            return self._send(200, json.dumps(entries).encode())
        siblings = [{"rfilename": entry["path"]} for entry in entries]
        about: dict[str, Any] = {"id": name, "modelId": name, "sha": commit_of(folder), "siblings": siblings}
        return self._send(200, json.dumps(about | {"private": False, "tags": [], "downloads": 0}).encode())

    def _give(self, name: str, revision: str, file: str) -> None:
        folder = self._folder(name)
        if folder is None:
            return self._missing("RepoNotFound")
        if revision not in _revisions(folder):
            return self._missing("RevisionNotFound")
        if not (folder / file).is_file():
            return self._missing("EntryNotFound", **{"X-Repo-Commit": commit_of(folder)})
        known = {"ETag": f'"{_tag(folder / file)}"', "X-Repo-Commit": commit_of(folder)}
        return self._send(200, (folder / file).read_bytes(), **known)

    def _folder(self, name: str) -> Path | None:
        folder: Path = self.server.hub.root / name  # type: ignore[attr-defined]
        return folder if folder.is_dir() else None

    def _missing(self, code: str, **headers: str) -> None:
        self._send(404, b"{}", **{"X-Error-Code": code, "X-Error-Message": code}, **headers)

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _revisions(folder: Path) -> tuple[str, ...]:
    return ("main", "v1", commit_of(folder))


def _tag(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()
