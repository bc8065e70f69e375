"""Write a data set in our two-file form, for `llmrec data convert`."""

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

from llmrec_prompt.cache import whole_file, write_atomically
from llmrec_prompt.data.dataset import Dataset
from llmrec_prompt.data.impressions import impression_row
from llmrec_prompt.data.readers import KINDS
from llmrec_prompt.data.readers.tables import IMPRESSIONS, ITEM_FILES, LOG_FILES
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.types import Item

OWN = (*ITEM_FILES, *LOG_FILES, IMPRESSIONS, "meta.json")
"""The files that may be in a folder of our own form."""


def check_room(target: Path, source: str | Path, *, force: bool) -> None:
    """See that no data set is lost by writing to `target`.

    Raises:
        ConfigError: it is the source, or holds a data set and `force` is not set.
    """
    if target.resolve() == Path(source).resolve():
        raise ConfigError(f"{target} is what is read: to write there would lose rows. Name another folder.")
    held = target.is_dir() and any(
        [*(fits(target) for fits, _ in KINDS.values()), *((target / name).exists() for name in OWN)]
    )
    if held and not force:
        raise ConfigError(f"{target} holds a data set already. Name another folder, or say --force.")


def remove_others(folder: Path, dataset: Dataset) -> None:
    """Remove files of another data set from where `write_two_file` wrote: they would pass for this one's."""
    own = {"items.jsonl", "meta.json"}
    own |= {"interactions.csv"} if dataset.users else set()
    own |= {IMPRESSIONS} if dataset.has_impressions else set()
    for name in set(OWN) - own:
        (folder / name).unlink(missing_ok=True)


def write_two_file(dataset: Dataset, folder: str | Path) -> Path:
    """Write items.jsonl, interactions.csv (when there are users) and meta.json; returns the folder.

    impressions.jsonl too, where it is known what was shown. Files that are there are written over, each
    when its new content is complete.

    All that the data set's users are known to have met is written, with ratings, so that reading it again
    with the same cleaning gives the same data set. Users without a liked item are no users of a
    data set: load with `Cleaning(preference="none")` to convert a folder in full.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(item_row(item), ensure_ascii=False, default=str) for item in dataset.items)
    write_atomically(target / "items.jsonl", "".join(line + "\n" for line in lines))
    if dataset.users:
        write_atomically(target / "interactions.csv", _log_text(dataset))
    if dataset.has_impressions:
        _write_impressions(target / IMPRESSIONS, dataset)
    said = {key: value for key, value in dataset.meta.items() if key != "columns"}  # they are ours by now
    meta = {**said, "name": dataset.name, "domain": dataset.meta.get("domain", dataset.domain)}
    write_atomically(target / "meta.json", json.dumps(meta, ensure_ascii=False, indent=1, default=str) + "\n")
    return target


def _write_impressions(path: Path, dataset: Dataset) -> None:
    # The file may be the one that is read.
    with whole_file(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        for impression in dataset.impressions():
            file.write(json.dumps(impression_row(impression), ensure_ascii=False) + "\n")


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
