"""Text files, read whole or line by line, with errors that name the file."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmrec_prompt.errors import DataError


def read_text(path: Path, encoding: str = "utf-8-sig") -> str:
    """The whole file as text; a UTF-8 byte order mark is tolerated.

    Raises:
        DataError: the file is missing or not in that encoding.
    """
    try:
        return path.read_bytes().decode(encoding)
    except UnicodeDecodeError as exc:
        raise DataError(f"{path} is not UTF-8 (byte {exc.start}); save it as UTF-8.") from exc
    except OSError as exc:
        raise DataError(f"{path} cannot be read: {exc.strerror}; check the path.") from exc


def parse_json(text: str) -> Any:
    """A JSON value.

    Raises:
        ValueError: it is none, or nothing that Python can hold; says why in a few words.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as exc:
        where = f" in line {exc.lineno}" if exc.lineno > 1 else ""
        raise ValueError(f"{exc.msg}{where}") from exc
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc
    except ValueError as exc:
        raise ValueError("an integer of too many digits") from exc


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbers (from 1) and texts of the lines that are not empty, one at a time, without line ends.

    A name that ends in .gz is read as gzip; a UTF-8 byte order mark is tolerated. Only a line feed ends a
    line: other separators of Unicode may stand inside a JSON string.

    Raises:
        DataError: the file is missing, damaged or not UTF-8.
    """
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                if text.strip():
                    yield number, text
    except UnicodeDecodeError as exc:
        raise DataError(f"{path}, line {number} is not UTF-8; save it as UTF-8.") from exc
    except (OSError, EOFError, zlib.error) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise DataError(f"{path} cannot be read: {reason}; check the file.") from exc
