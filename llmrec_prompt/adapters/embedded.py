"""What an exported GGUF twin says of itself: the card and the users, in the metadata of the file.

So it stays the adapter that it is wherever the file goes: its mode, base and templates, and who taught it.
"""

import functools
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from llmrec_prompt.adapters.card import CARD, USERS
from llmrec_prompt.cache import file_stamp
from llmrec_prompt.errors import AdapterError, first_line

KEYS = {CARD: "llmrec.card", USERS: "llmrec.users"}
"""Files of a folder, and the keys under which a twin holds their text."""
WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a number, by its kind in GGUF."""
STRING, ARRAY = 8, 9


def is_twin(path: Path | str) -> bool:
    """Whether a path is meant as an adapter in GGUF form."""
    return Path(path).suffix == ".gguf"


def texts_of(folder: Path) -> dict[str, str]:
    """What of a folder goes into its twin, by key; nothing where it has no card."""
    there = {key: folder / name for name, key in KEYS.items() if (folder / name).is_file()}
    return {key: file.read_text(encoding="utf-8") for key, file in there.items()}


def texts_in(twin: Path) -> Mapping[str, str]:
    """The same from a twin, by the names of the files; read again only when it changes.

    Raises:
        AdapterError: there is no such file, or it is no GGUF.
    """
    try:
        return _read(twin, *file_stamp(twin))
    except OSError as error:
        raise AdapterError(f"Cannot read the adapter {twin}: {error.strerror or error}.") from error


@functools.lru_cache(maxsize=64)
def _read(twin: Path, *_stamp: int) -> Mapping[str, str]:
    try:
        with twin.open("rb") as file:
            found = dict(_strings(file, twin.stat().st_size))
        return {name: found[key].decode("utf-8") for name, key in KEYS.items() if key in found}
    except (RecursionError, ValueError, struct.error) as error:
        raise AdapterError(f"{twin} cannot be read as GGUF: {first_line(error)}.") from error


def _strings(file: BinaryIO, size: int) -> Iterator[tuple[str, bytes]]:
    """The text values of a GGUF file's metadata; all else is passed over, however much it says it is.

    The gguf package makes an object of every number in a list, and has no end where a length is too large.
    """
    if file.read(4) != b"GGUF":
        raise ValueError("it does not begin as one")
    version, _, values = _numbers(file, "<IQQ")
    if version not in (2, 3):
        raise ValueError(f"version {version}")
    for _ in range(values):
        key = _text(file, size).decode("utf-8")
        (kind,) = _numbers(file, "<I")
        if kind == STRING:
            yield key, _text(file, size)
        else:
            _pass_over(file, size, kind)


def _numbers(file: BinaryIO, form: str) -> tuple[Any, ...]:
    return struct.unpack(form, file.read(struct.calcsize(form)))


def _text(file: BinaryIO, size: int) -> bytes:
    (length,) = _numbers(file, "<Q")
    return file.read(_within(file, size, length))


def _pass_over(file: BinaryIO, size: int, kind: int) -> None:
    if kind == STRING:
        _text(file, size)
    elif kind != ARRAY:
        file.seek(_within(file, size, _width(kind)), 1)
    else:
        kind, count = _numbers(file, "<IQ")
        if kind not in (STRING, ARRAY):
            file.seek(_within(file, size, count * _width(kind)), 1)
            return
        for _ in range(count):  # each takes some bytes of the file, which ends
            _pass_over(file, size, kind)


def _width(kind: int) -> int:
    if kind not in WIDTHS:
        raise ValueError(f"a value of kind {kind}")
    return WIDTHS[kind]


def _within(file: BinaryIO, size: int, length: int) -> int:
    if length > size - file.tell():
        raise ValueError(f"it ends before {length} bytes that should come")
    return length
