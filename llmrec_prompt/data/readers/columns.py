"""Columns under other names: those that `columns` in meta.json maps, and known ones in other capitals."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmrec_prompt.data.catalogue import LISTS, TEXTS
from llmrec_prompt.data.readers.meta import close
from llmrec_prompt.data.readers.raw import RawData, need_columns
from llmrec_prompt.errors import DataError

log = logging.getLogger(__name__)
Names = dict[str, str]
"""Names as they stand in a file → names as they are read."""
ITEM_COLUMNS = (*TEXTS, *LISTS, "price")
LOG_COLUMNS = ("user_id", "item_id", "rating", "timestamp")


def mapping_of(meta: Mapping[str, Any]) -> Names:
    """What meta.json says in `columns`; what cannot be meant so is a note of somebody's, and told."""
    said = meta.get("columns") or {}
    if not isinstance(said, dict) or not all(isinstance(name, str) and name for name in said.values()):
        log.warning(
            "'columns' in meta.json is %.100r and is not read; an object of names is, such as "
            '{"Name": "title", "sku": "item_id"}.',
            said,
        )
        return {}
    known = {*ITEM_COLUMNS, *LOG_COLUMNS}
    notes = {name: ours for name, ours in said.items() if name in known and ours not in known}
    if notes:
        log.warning("'columns' in meta.json would rename %s, which is read as it is.", ", ".join(notes))
    for name, ours in said.items():
        if ours not in {*known, name} and name not in notes and (meant := close(ours, known)):
            log.warning("Unknown column %r in 'columns' of meta.json. Did you mean %r?", ours, meant)
    return {name: ours for name, ours in said.items() if name not in notes}


def check_mapping(mapping: Names, found: Sequence[str], folder: Path, *, with_log: bool) -> None:
    """See that each column that is mapped is in one of the files.

    Raises:
        DataError: one is in none.
    """
    of_logs = () if with_log else set(LOG_COLUMNS).difference(ITEM_COLUMNS)
    for name, ours in mapping.items():
        if name not in found and ours not in of_logs:
            raise DataError(
                f"Column {name!r} of 'columns' in meta.json is in no file of {folder}; "
                f"found: {', '.join(found) or 'nothing'}."
            )


def read_as(
    raw: RawData, path: Path, found: Sequence[str], mapping: Names, known: Sequence[str]
) -> list[str]:
    """The names under which the columns of a file are read; the first two of `known` are needed.

    What is mapped to a column of the other file, or to one that is here itself, stays what it is. A column
    that differs from a known one in capitals or surrounding blanks alone is that one, where no other column
    is; `raw.remarks` says so.

    Raises:
        DataError: a needed column is missing, or two columns would be read as one.
    """
    elsewhere = {*ITEM_COLUMNS, *LOG_COLUMNS}.difference(known)
    mapped = {name: ours for name, ours in mapping.items() if name in found and ours not in elsewhere}
    raw.remarks += _give_way(mapped, path, found)
    rest = [name for name in found if name not in mapped]
    guessed = _in_other_capitals(path, rest, [name for name in known if name not in mapped.values()])
    raw.remarks += [f"column {name!r} of {path.name} is read as {ours!r}" for name, ours in guessed.items()]
    new = mapped | guessed
    names = [new.get(name, name) for name in found]
    for name, ours in new.items():
        if names.count(ours) > 1:
            others = [other for other in found if new.get(other, other) == ours and other != name]
            raise DataError(f"{path}: columns {[name, *others]} would all be {ours!r}; keep one of them.")
    missing = [name for name, ours in mapping.items() if ours in known[:2] and ours not in names]
    need_columns(path, found if missing else names, missing or known[:2])
    return names


def _give_way(mapped: Names, path: Path, found: Sequence[str]) -> list[str]:
    """Take out what would be read as a column that is there itself and is not mapped away; says of which.

    Rows of JSON have columns of their own each, so there it stays, and is an error.
    """
    told = []
    while path.suffix != ".jsonl":
        there = [n for n, ours in mapped.items() if ours in found and ours not in mapped]
        if not there:
            break
        told += [f"column {n!r} of {path.name} is not read as {mapped.pop(n)!r}, which it has" for n in there]
    return told


def _in_other_capitals(path: Path, found: Sequence[str], known: Sequence[str]) -> Names:
    """Columns that are a known one but for capitals and blanks, where that one is not there itself."""
    new: Names = {}
    for ours in known:
        alike = [name for name in found if name.strip().lower() == ours]
        if len(alike) == 1 and ours not in alike:
            new[alike[0]] = ours
        elif alike and ours not in alike:
            log.warning("Columns %s of %s are not read; name one of them %r.", alike, path, ours)
    return new
