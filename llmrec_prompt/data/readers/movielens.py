"""Raw MovieLens folders: latest (CSV), 1M ('::', latin-1), 100K (u.data, u.item). Titles keep their year."""

from pathlib import Path
from typing import Any

from llmrec_prompt.data.files import read_text
from llmrec_prompt.data.readers.csv_rows import read_csv
from llmrec_prompt.data.readers.meta import read_meta
from llmrec_prompt.data.readers.raw import RawData, need_columns, pick_columns, split_rows
from llmrec_prompt.errors import DataError

NO_GENRE = "(no genres listed)"
GENRES_100K = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary"),
    *("Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller"),
    *("War", "Western"),
)


def is_movielens(folder: Path) -> bool:
    """Whether the folder holds a MovieLens catalogue."""
    return any((folder / name).is_file() for name in ("movies.csv", "movies.dat", "u.item"))


def read_movielens(folder: Path) -> RawData:
    """Read a raw MovieLens folder of any of the three forms; without ratings it is items alone.

    Raises:
        DataError: a missing column or a line that cannot be read.
    """
    meta = {"domain": "movies", **read_meta(folder / "meta.json")}
    raw = RawData(name=folder.name, items=[], meta=meta)
    if (folder / "movies.csv").is_file():
        _fill_latest(raw, folder)
    elif (folder / "movies.dat").is_file():
        raw.items = [_movie(*row) for row in _cut(folder / "movies.dat", "::", 3)]
        _fill_ratings(raw, folder / "ratings.dat", "::")
    else:
        raw.items = [_movie_100k(row) for row in _cut(folder / "u.item", "|", 24)]
        _fill_ratings(raw, folder / "u.data", "\t")
    return raw


def _movie(item_id: str, title: str, genres: str) -> dict[str, Any]:
    listed = [] if genres == NO_GENRE else genres.split("|")
    return {"item_id": item_id, "title": title, "categories": listed, "tags": []}


def _movie_100k(row: list[str]) -> dict[str, Any]:
    genres = [name for name, flag in zip(GENRES_100K, row[5:], strict=True) if flag == "1"]
    return _movie(row[0], row[1], "|".join(name for name in genres if name != "unknown"))


def _cut(path: Path, mark: str, width: int) -> list[list[str]]:
    """Lines of a latin-1 file, cut at `mark` into `width` fields."""
    rows = []
    for number, line in enumerate(read_text(path, "latin-1").split("\n"), start=1):
        if not line.strip():
            continue
        row = line.rstrip("\r").split(mark)
        if len(row) != width:
            found = f"{len(row)} fields cut at {mark!r}"
            raise DataError(f"{path}, line {number}: found {found}; expected {width}.")
        rows.append(row)
    return rows


def _fill_ratings(raw: RawData, path: Path, mark: str) -> None:
    if not path.is_file():
        return
    lines = (line.rstrip("\r").split(mark) for line in read_text(path, "latin-1").split("\n") if line.strip())
    rows, raw.malformed = split_rows(lines, 4)
    raw.users, raw.item_ids, raw.ratings, raw.timestamps = pick_columns(rows, (0, 1, 2, 3))


def _fill_latest(raw: RawData, folder: Path) -> None:
    header, lines, raw.notes = read_csv(folder / "movies.csv")
    need_columns(folder / "movies.csv", header, ("movieId", "title", "genres"))
    rows, too_long = split_rows(lines, len(header))
    if too_long:
        raw.notes["movies.csv rows with too many fields, left out"] = too_long
    columns = pick_columns(rows, [header.index(name) for name in ("movieId", "title", "genres")])
    raw.items = [_movie(*cells) for cells in zip(*columns, strict=True)]
    if (folder / "ratings.csv").is_file():
        _fill_latest_ratings(raw, folder / "ratings.csv")
    if (folder / "tags.csv").is_file():
        _add_tags(raw, folder / "tags.csv")


def _fill_latest_ratings(raw: RawData, path: Path) -> None:
    header, lines, notes = read_csv(path)
    raw.notes |= notes
    need_columns(path, header, ("userId", "movieId", "rating"))
    rows, raw.malformed = split_rows(lines, len(header))
    time = header.index("timestamp") if "timestamp" in header else None
    places = [*(header.index(name) for name in ("userId", "movieId", "rating")), time]
    raw.users, raw.item_ids, raw.ratings, raw.timestamps = pick_columns(rows, places)


def _add_tags(raw: RawData, path: Path) -> None:
    header, lines, notes = read_csv(path)
    raw.notes |= notes
    need_columns(path, header, ("movieId", "tag"))
    movie, tag = header.index("movieId"), header.index("tag")
    by_id = {item["item_id"]: item["tags"] for item in raw.items}
    rows, lost = split_rows(lines, len(header))
    for row in rows:
        if row[movie] in by_id:
            by_id[row[movie]].append(row[tag])
        else:
            lost += 1
    if lost:
        raw.notes["tags of unknown movies, left out"] = lost
