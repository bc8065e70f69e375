"""Write a data set in our two-file form, for `llmrec data convert`."""

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

from llmrec_prompt.data.dataset import Dataset
from llmrec_prompt.data.impressions import impression_row
from llmrec_prompt.data.readers import KINDS
from llmrec_prompt.data.readers.tables import IMPRESSIONS, ITEM_FILES, LOG_FILES
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.types import Item

OWN = (*ITEM_FILES, *LOG_FILES, IMPRESSIONS, "meta.json")
"""The files that may be in a folder of our own form."""


def make_room(target: Path, source: str | Path, *, force: bool) -> None:
    """See that no data set is lost by writing to `target`; with `force` one that is there is removed.

    Raises:
        ConfigError: it is the source, or holds a data set and `force` is not set.
    """
    if target.resolve() == Path(source).resolve():
        raise ConfigError(f"{target} is what is read: to write there would lose rows. Name another folder.")
    held = [target / name for name in OWN if (target / name).exists()]
    if not force and (held or (target.is_dir() and any(fits(target) for fits, _ in KINDS.values()))):
        raise ConfigError(f"{target} holds a data set already. Name another folder, or say --force.")
    for path in held:  # the new one may be without logs: old ones would pass for its own
        path.unlink()


def write_two_file(dataset: Dataset, folder: str | Path) -> Path:
    """Write items.jsonl, interactions.csv (when there are users) and meta.json; returns the folder.

    impressions.jsonl too, where it is known what was shown. Files that are there are written over: see
    `make_room`.

    All that the data set's users are known to have met is written, with ratings, so that reading it again
    with the same cleaning gives the same data set. Users without a liked item are no users of a
    data set: load with `Cleaning(preference="none")` to convert a folder in full.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(item_row(item), ensure_ascii=False, default=str) for item in dataset.items)
    _write(target / "items.jsonl", "".join(line + "\n" for line in lines))
    if dataset.users:
        _write(target / "interactions.csv", _log_text(dataset))
    if dataset.has_impressions:
        _write_impressions(target / IMPRESSIONS, dataset)
    meta = {**dataset.meta, "name": dataset.name, "domain": dataset.meta.get("domain", dataset.domain)}
    _write(target / "meta.json", json.dumps(meta, ensure_ascii=False, indent=1, default=str) + "\n")
    return target


def _write_impressions(path: Path, dataset: Dataset) -> None:
    # The file may be the one that is read.
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8", newline="\n") as file:
        for impression in dataset.impressions():
            file.write(json.dumps(impression_row(impression), ensure_ascii=False) + "\n")
    partial.replace(path)


def item_row(item: Item) -> dict[str, Any]:
    """The item's fields, extra ones too, without empty ones."""
    return {key: value for key, value in item.model_dump().items() if value not in ("", None, ())}


def _log_text(dataset: Dataset) -> str:
    rows = dataset.known_rows()
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("user_id", "item_id", "rating", "timestamp"))
    columns = (rows.users.tolist(), rows.items.tolist(), rows.ratings.tolist(), rows.times.tolist())
    for user, item, rating, time in zip(*columns, strict=True):
        writer.writerow((dataset.users[user], dataset.items[item].item_id, _cell(rating), _cell(time)))
    return out.getvalue()


def _cell(value: float) -> str:
    if math.isnan(value):
        return ""
    return str(int(value)) if value.is_integer() else repr(value)


def _write(path: Path, content: str) -> None:
    path.write_bytes(content.encode())
