"""One reader per kind of folder; each returns the same `RawData`. Knows nothing about cleaning."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from llmrec_prompt.data.readers.amazon import is_amazon, read_amazon
from llmrec_prompt.data.readers.mind import is_mind, read_mind
from llmrec_prompt.data.readers.movielens import is_movielens, read_movielens
from llmrec_prompt.data.readers.parquet import is_parquet, read_parquet_folder
from llmrec_prompt.data.readers.raw import RawData
from llmrec_prompt.data.readers.recbole import is_recbole, read_recbole
from llmrec_prompt.data.readers.tables import ITEM_FILES, find_one, read_tables
from llmrec_prompt.errors import DataError

log = logging.getLogger(__name__)
EXPECTED = (
    "items.jsonl|csv|parquet (with interactions.csv|parquet), MovieLens (movies.csv, movies.dat or u.item), "
    "RecBole (NAME.item with NAME.inter), MIND (news.tsv with behaviors.tsv), Amazon reviews "
    "(meta_CATEGORY.jsonl.gz with CATEGORY.jsonl.gz) or Parquet shards"
)


KINDS: dict[str, tuple[Callable[[Path], object], Callable[[Path], RawData]]] = {
    "two-file": (lambda folder: find_one(folder, ITEM_FILES), read_tables),
    "movielens": (is_movielens, read_movielens),
    "recbole": (is_recbole, read_recbole),
    "mind": (is_mind, read_mind),
    "amazon": (is_amazon, read_amazon),
    "parquet": (is_parquet, read_parquet_folder),
}
"""How each kind is recognised and read; the first that fits is taken."""


def read_folder(folder: Path) -> RawData:
    """Detect the kind of a folder and read it.

    Raises:
        DataError: no such folder, no known kind (lists what was found and what is expected), bad content.
    """
    if folder.name in ("", ".."):  # a data set is called after its folder, also when that is "here"
        folder = Path(os.path.abspath(folder))
    kind = kind_of(folder)
    raw = KINDS[kind][1](folder)
    if kind != "two-file" and "columns" in raw.meta:
        log.warning("'columns' in meta.json of %s is not read: the folder is of kind %r.", folder, kind)
    return raw


def kind_of(folder: Path) -> str:
    """Which of `KINDS` a folder is.

    Raises:
        DataError: no such folder, or no known kind.
    """
    if not folder.is_dir():
        state = "is a file" if folder.exists() else "does not exist"
        raise DataError(f"Data folder {folder} {state}; give a folder with {EXPECTED}.")
    for kind, (fits, _) in KINDS.items():
        if fits(folder):
            return kind
    names = sorted(path.name for path in folder.iterdir())
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    raise DataError(f"No data set in {folder}; found: {shown or 'nothing'}; expected {EXPECTED}.")


__all__ = ["KINDS", "RawData", "kind_of", "read_folder", "read_movielens", "read_recbole", "read_tables"]
