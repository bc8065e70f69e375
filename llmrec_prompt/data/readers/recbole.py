"""RecBole atomic files: NAME.item and NAME.inter, tab-separated, with a typed header (`user_id:token`).

Logs may be in the sequence form of RecBole's benchmark files; see `recbole_sequences`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmrec_prompt.data.files import read_text
from llmrec_prompt.data.readers.meta import read_meta
from llmrec_prompt.data.readers.raw import RawData, need_columns, pick_columns, split_rows
from llmrec_prompt.data.readers.recbole_sequences import Window, unroll
from llmrec_prompt.errors import DataError

COMMON = {
    "title": ("title", "movie_title", "name", "item_name"),
    "categories": ("categories", "category", "genre", "genres", "class"),
    "year": ("year", "release_year"),
    "creator": ("creator", "author", "artist", "brand"),
    "description": ("description",),
    "tags": ("tags",),
    "price": ("price",),
}
"""Our field → RecBole columns that hold it; the first that is there counts."""

USERS = ("user_id", "session_id")

Header = list[tuple[str, str]]


def is_recbole(folder: Path) -> bool:
    """Whether the folder holds RecBole atomic files."""
    return any(folder.glob("*.item")) or any(folder.glob("*.inter"))


def read_recbole(folder: Path) -> RawData:
    """Read NAME.item and, if there, NAME.inter, or NAME.train.inter and its siblings.

    Raises:
        DataError: no or several .item files, an untyped header, a missing column, logs in two forms.
    """
    names = sorted(path.name for path in folder.glob("*.item"))
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise DataError(f"{folder} needs one NAME.item file with titles; found: {found}.")
    path = folder / names[0]
    header, rows, lost = read_atomic(path)
    key = _id_column(path, header)
    raw = RawData(name=path.stem, items=_items(path, header, rows, key), meta=read_meta(folder / "meta.json"))
    raw.notes = {f"{path.name} rows with too many fields, left out": lost} if lost else {}
    windows: list[Window] = []
    for log in _logs(path):
        _add_log(raw, log, key, windows)
    if windows and raw.users:
        raise DataError(f"{folder}: some .inter files have {key}_list and some have not; keep one form.")
    if windows:
        raw.users, raw.item_ids, raw.ratings, raw.timestamps = unroll(windows)
    return raw


def _logs(path: Path) -> list[Path]:
    """NAME.inter, or else the parts it was cut into."""
    whole = path.with_suffix(".inter")
    parts = [path.with_suffix(f".{part}.inter") for part in ("train", "valid", "test")]
    return [whole] if whole.is_file() else [part for part in parts if part.is_file()]


def read_atomic(path: Path) -> tuple[Header, list[Sequence[str]], int]:
    """Typed header, rows, and the number of rows with too many fields (left out).

    Raises:
        DataError: a header field without a type.
    """
    lines = [line.rstrip("\r") for line in read_text(path).split("\n")]
    header = []
    for cell in lines[0].split("\t"):
        name, colon, kind = cell.partition(":")
        if not colon:
            raise DataError(f"{path}: header field {cell!r} has no type; expected e.g. 'user_id:token'.")
        header.append((name, kind))
    rows, lost = split_rows((line.split("\t") for line in lines[1:] if line.strip()), len(header))
    return header, rows, lost


def _id_column(path: Path, header: Header) -> str:
    """item_id, or else the first column: some sets have artist_id and the like."""
    names = [name for name, _ in header]
    if "item_id" in names:
        return "item_id"
    if header[0][1] != "token":
        need_columns(path, names, ("item_id",))
    return names[0]


def _items(path: Path, header: Header, rows: list[Sequence[str]], key: str) -> list[dict[str, Any]]:
    names = [name for name, _ in header]
    source = {ours: next((n for n in theirs if n in names), None) for ours, theirs in COMMON.items()}
    if source["title"] is None:
        need_columns(path, names, ("title",))
    renamed = {theirs: ours for ours, theirs in source.items() if theirs} | {key: "item_id"}
    ours = [(renamed.get(name, name), kind) for name, kind in header]
    return [{n: _value(n, kind, cell) for (n, kind), cell in zip(ours, row, strict=True)} for row in rows]


def _value(name: str, kind: str, cell: str) -> Any:
    # A title is a sequence of word tokens; it is one text for us.
    is_list = name in ("categories", "tags") or (kind.endswith("_seq") and name not in _TEXTS)
    return cell.split(" ") if is_list and kind.endswith("_seq") else cell


_TEXTS = ("title", "description", "creator", "year")


def _add_log(raw: RawData, path: Path, key: str, windows: list[Window]) -> None:
    """Add a file's rows to the log, or to the windows if it is in the sequence form."""
    header, rows, lost = read_atomic(path)
    names = [name for name, _ in header]
    user = next((name for name in USERS if name in names), USERS[0])
    need_columns(path, names, (user, key))
    raw.malformed += lost
    columns = [user, key, "rating", "timestamp", f"{key}_list", "timestamp_list"]
    found = pick_columns(rows, [names.index(n) if n in names else None for n in columns])
    if f"{key}_list" in names:
        windows += map(_window, *found)
        return
    raw.users, raw.item_ids = [*raw.users, *found[0]], [*raw.item_ids, *found[1]]
    raw.ratings, raw.timestamps = [*raw.ratings, *found[2]], [*raw.timestamps, *found[3]]


def _window(user: str, item: str, rating: Any, time: Any, before: str, times: str | None) -> Window:
    dated = () if time is None else (*(times or "").split(), time)
    return Window(user, (*before.split(), item), rating, dated)
