"""meta.json: what a data set says of itself. Most of it is people's notes; what looks like a slip is told."""

import json
import logging
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from llmrec_prompt.data.clean import KEYS as CLEANING
from llmrec_prompt.data.files import parse_json, read_text
from llmrec_prompt.errors import DataError

log = logging.getLogger(__name__)
KNOWN = frozenset({"domain", "cleaning", "columns", "licence"})
"""The keys that are read; all others are notes."""


def read_meta(path: Path) -> dict[str, Any]:
    """meta.json as a dict; {} when there is none. Warns of keys that look like slips.

    Raises:
        DataError: it is not a JSON object.
    """
    if not path.is_file():
        return {}
    try:
        meta = parse_json(read_text(path))
    except ValueError as exc:
        raise DataError(f"{path} is not JSON ({exc}); correct or remove it.") from exc
    if not isinstance(meta, dict):
        raise DataError(f"{path} holds a {type(meta).__name__}; a JSON object is expected.")
    for slip in slips(meta):
        log.warning("%s", slip)
    return meta


def slips(meta: Mapping[str, Any]) -> list[str]:
    """What to say of keys that nothing reads and that were probably meant to be read.

    >>> slips({"domian": "books", "note": "second-hand", "k_core": 5})[0]
    "Unknown key 'domian' in meta.json. Did you mean 'domain'?"
    """
    found = []
    for key in (key for key in meta if key not in KNOWN):
        meant, belongs = close(key, KNOWN), close(key, CLEANING)
        if belongs:
            block = json.dumps({"cleaning": {belongs: meta[key]}})
            found.append(f"{key!r} belongs under 'cleaning' in meta.json, such as {block:.200}.")
        elif meant and meant not in meta:
            found.append(f"Unknown key {key!r} in meta.json. Did you mean {meant!r}?")
    return found


def close(name: str, known: Collection[str]) -> str | None:
    """The known name that another was probably meant to be: alike, and with the same first letter.

    >>> close("catgories", ["categories", "tags"]), close("reference", ["preference"])
    ('categories', None)
    """
    alike = get_close_matches(name.strip().lower(), known, n=1, cutoff=0.8)
    return alike[0] if alike and alike[0][0] == name.strip().lower()[0] else None
