"""What an exported GGUF twin says of itself: the card and the users, in the metadata of the file.

So it stays the adapter that it is wherever the file goes: its mode, base and templates, and who taught it.
"""

import functools
from collections.abc import Mapping
from pathlib import Path

from llmrec_prompt.adapters.card import CARD, USERS
from llmrec_prompt.cache import file_stamp
from llmrec_prompt.errors import AdapterError, MissingExtra, first_line

KEYS = {CARD: "llmrec.card", USERS: "llmrec.users"}
"""Files of a folder, and the keys under which a twin holds their text."""


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
        MissingExtra: the gguf package is not installed.
    """
    try:
        return _read(twin, *file_stamp(twin))
    except OSError as error:
        raise AdapterError(f"Cannot read the adapter {twin}: {error.strerror or error}.") from error


@functools.lru_cache(maxsize=64)
def _read(twin: Path, *_stamp: int) -> Mapping[str, str]:
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise MissingExtra("An adapter in GGUF form", "local") from error
    try:
        fields = GGUFReader(twin).fields
        return {name: str(fields[key].contents()) for name, key in KEYS.items() if key in fields}
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise AdapterError(f"{twin} cannot be read as GGUF: {first_line(error)}.") from error
