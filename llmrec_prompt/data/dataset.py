"""The data set: a catalogue, who liked what and when, and what each user is known to have consumed.

Knows nothing about prompts and models. Interactions are kept as arrays sorted by user, then time.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrec_prompt.data.assemble import CleanLog, clean_log, recode
from llmrec_prompt.data.catalogue import build_items
from llmrec_prompt.data.clean import Cleaning, CleaningReport, cleaning_of
from llmrec_prompt.data.domain import domain_of
from llmrec_prompt.data.impressions import Impression, Impressions
from llmrec_prompt.data.in_memory import raw_of
from llmrec_prompt.data.readers import RawData, read_folder
from llmrec_prompt.data.rows import Floats, Ints, Mask, Rows, encode, pair_codes
from llmrec_prompt.data.samples import SAMPLE, sample_folder
from llmrec_prompt.errors import DataError, UnknownName
from llmrec_prompt.types import Interaction, Item


class Dataset:
    """Items, users and histories. Make one with `Dataset.load` or `Dataset.from_rows`."""

    def __init__(
        self, items: tuple[Item, ...], log: CleanLog, *, name: str, domain: str, meta: dict[str, Any]
    ) -> None:
        self.name, self.domain, self.meta = name, domain, meta
        self.items, self.users, self.report = items, log.users, log.report
        self.index = {item.item_id: row for row, item in enumerate(items)}
        self._codes = {user: code for code, user in enumerate(log.users)}
        self._known, self._liked, self._without_likes = log.known, log.liked, log.without_likes
        self._impressions: Impressions | None = None
        self._known_at = np.searchsorted(log.known.users, np.arange(len(log.users) + 1))
        self._liked_at = np.searchsorted(log.liked.users, np.arange(len(log.users) + 1))

    @classmethod
    def load(
        cls, path: str | Path, *, domain: str | None = None, cleaning: Cleaning | None = None
    ) -> "Dataset":
        """Read a folder of any kind in `data.readers`, or a packaged set ("sample:movies").

        Args:
            path: the folder; items without interactions are fine.
            domain: overrides the one in meta.json.
            cleaning: how ratings become preferences; by default as meta.json says, else `Cleaning()`.

        Raises:
            DataError: the folder or a file in it cannot be read as a data set.
            UnknownName: no such sample data set.
            MissingExtra: a Parquet file without pyarrow.
        """
        return cls.from_raw(read_named(path), domain=domain, cleaning=cleaning)

    @classmethod
    def from_raw(
        cls, raw: RawData, *, domain: str | None = None, cleaning: Cleaning | None = None
    ) -> "Dataset":
        """Clean what a reader returned.

        Raises:
            DataError: the catalogue is empty, or there are interactions and none can be used.
        """
        items, step, notes = build_items(raw.items, raw.name)
        rows = {item.item_id: row for row, item in enumerate(items)}
        log = clean_log(raw, rows, cleaning or cleaning_of(raw.meta))
        said = log.report
        report = CleaningReport((step, *said.steps), {**raw.notes, **notes, **said.notes}, said.remarks)
        log = replace(log, report=report)
        made = cls(items, log, name=raw.name, domain=domain or domain_of(raw.meta), meta=raw.meta)
        made._impressions = raw.impressions
        return made

    @classmethod
    def from_rows(
        cls,
        items: Iterable[Item | Mapping[str, Any]],
        interactions: Iterable[Interaction | Mapping[str, Any]] = (),
        *,
        name: str = "rows",
        domain: str | None = None,
        cleaning: Cleaning | None = None,
    ) -> "Dataset":
        """Build a data set from objects or dicts in memory, with the same cleaning as from files.

        Raises:
            DataError: the catalogue is empty, or a row is neither, or lacks a user or an item.
        """
        return cls.from_raw(raw_of(items, interactions, name), domain=domain, cleaning=cleaning)

    def __repr__(self) -> str:
        return (
            f"Dataset({self.name!r}, domain={self.domain!r}, items={len(self.items)}, "
            f"users={len(self.users)}, liked={len(self._liked)})"
        )

    def item(self, item_id: str) -> Item:
        """The item of an id.

        Raises:
            UnknownName: the catalogue lacks it.
        """
        return self.items[self._item_row(item_id)]

    def history(self, user: str) -> tuple[Interaction, ...]:
        """What the user liked, oldest first; undated interactions come first, in file order.

        Raises:
            UnknownName: no such user.
        """
        part = self._span(user, self._liked_at)
        return tuple(self._interactions(user, self._liked, part))

    def history_items(self, user: str) -> tuple[Item, ...]:
        """The items of `history`, oldest first.

        Raises:
            UnknownName: no such user.
        """
        return tuple(self.items[row] for row in self._liked.items[self._span(user, self._liked_at)].tolist())

    def consumed(self, user: str) -> frozenset[str]:
        """All items the user is known to have met, also those rated low: never recommend or sample these.

        Raises:
            UnknownName: no such user.
        """
        rows = self._known.items[self._span(user, self._known_at)]
        return frozenset(self.items[row].item_id for row in rows.tolist())

    @property
    def has_logs(self) -> bool:
        """Whether anybody liked anything; False for items alone."""
        return len(self._liked) > 0

    @property
    def interactions(self) -> Iterator[Interaction]:
        """All liked interactions, by user, oldest first."""
        for user in self.users:
            yield from self._interactions(user, self._liked, self._span(user, self._liked_at))

    @property
    def has_impressions(self) -> bool:
        """Whether it is known what users were shown."""
        return self._impressions is not None

    def impressions(self) -> Iterator[Impression]:
        """What users were shown, in file order, read anew at each call; nothing where that is not known.

        As it stands in the file: cleaning, `without`, `only` and the like do not touch it.

        Raises:
            DataError: a line that cannot be meant.
        """
        yield from self._impressions() if self._impressions else ()

    def popularity(self) -> NDArray[np.float64]:
        """How many users liked each item, (n_items,) in catalogue order; read-only."""
        return self._popularity

    @cached_property
    def _popularity(self) -> NDArray[np.float64]:
        counts = np.bincount(self._liked.items, minlength=len(self.items)).astype(np.float64)
        counts.flags.writeable = False
        return counts

    def met(self) -> NDArray[np.bool_]:
        """Which items anybody is known to have met, liked or not, (n_items,) in catalogue order."""
        return np.bincount(self._known.items, minlength=len(self.items)) > 0

    def pairs(self) -> tuple[Ints, Ints]:
        """Rows of users and of items, both int32 (n_liked,), ordered by user, then time."""
        return self._liked.users.copy(), self._liked.items.copy()

    def times(self) -> Floats:
        """When each of `pairs` happened, epoch seconds, NaN where nobody knows, (n_liked,)."""
        return self._liked.times.copy()

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over the items and the liked interactions in their order."""
        digest = hashlib.sha256()
        for item in self.items:
            digest.update(item.model_dump_json().encode() + b"\n")
        digest.update("\n".join(self.users).encode() + b"\n")
        for column in (self._liked.users, self._liked.items):
            digest.update(column.astype("<i4").tobytes())
        return digest.hexdigest()[:16]

    def without(self, held_out: Iterable[tuple[str, str]]) -> "Dataset":
        """The same catalogue and users without these (user, item) pairs, in histories and in `consumed`.

        A held-out item can therefore be recommended again. Pairs that never met are ignored.

        Raises:
            UnknownName: a user or an item that is not in the data set.
        """
        n_items = len(self.items)
        out = np.array([self._code(u) * n_items + self._item_row(i) for u, i in held_out], dtype=np.int64)
        return self._keeping(lambda rows: ~np.isin(pair_codes(rows, n_items), out))

    def without_items(self, item_ids: Iterable[str]) -> "Dataset":
        """The same catalogue and users, as if nobody had ever met these items.

        Raises:
            UnknownName: an item that is not in the data set.
        """
        out = np.array([self._item_row(item_id) for item_id in item_ids], dtype=np.int32)
        return self._keeping(lambda rows: ~np.isin(rows.items, out))

    def before(self, moment: float) -> "Dataset":
        """The same catalogue and users with what happened before a moment (epoch seconds).

        Undated interactions are left out: they may have happened later.
        """
        return self._keeping(lambda rows: rows.times < moment)

    def _keeping(self, which: Callable[[Rows], Mask]) -> "Dataset":
        """The same catalogue and users with the rows that a rule keeps, both known and liked ones."""
        known, liked = (rows.take(which(rows)) for rows in (self._known, self._liked))
        return self._with_log(CleanLog(self.users, known, liked, self.report, self._without_likes))

    def _with_log(self, log: CleanLog) -> "Dataset":
        made = Dataset(self.items, log, name=self.name, domain=self.domain, meta=self.meta)
        made._impressions = self._impressions
        return made

    def only(self, users: Iterable[str]) -> "Dataset":
        """The same catalogue with the logs of these users alone, in the data set's order of users.

        Nothing of the others is left: not in `popularity`, `pairs` or `users`. Named twice counts once.

        Raises:
            UnknownName: a user who is not in the data set.
        """
        kept = np.zeros(len(self.users), dtype=bool)
        kept[[self._code(user) for user in users]] = True
        names = tuple(user for user, keep in zip(self.users, kept.tolist(), strict=True) if keep)
        known, liked = (recode(rows, kept) for rows in (self._known, self._liked))
        return self._with_log(CleanLog(names, known, liked, self.report, self._without_likes))

    def known_rows(self) -> Rows:
        """Everything the users met, before preference and k-core, as arrays; do not write into them."""
        return self._known

    def item_rows(self, item_ids: Iterable[str]) -> Ints:
        """Catalogue rows of ids, -1 for unknown ones."""
        return encode(list(item_ids), self.index)

    def _code(self, user: str) -> int:
        if user in self._without_likes:
            raise DataError(
                f"User {user!r} has no liked item left after cleaning; see `llmrec data inspect`. "
                "Give a history instead."
            )
        if user not in self._codes:
            raise UnknownName("user", str(user), self.users, private=True)
        return self._codes[user]

    def _item_row(self, item_id: str) -> int:
        if item_id not in self.index:
            raise UnknownName("item", str(item_id), self.index)
        return self.index[item_id]

    def _span(self, user: str, starts: NDArray[np.intp]) -> slice:
        code = self._code(user)
        return slice(int(starts[code]), int(starts[code + 1]))

    def _interactions(self, user: str, rows: Rows, part: slice) -> Iterator[Interaction]:
        cells = (rows.items[part].tolist(), rows.ratings[part].tolist(), rows.times[part].tolist())
        for row, rating, time in zip(*cells, strict=True):
            yield Interaction(user, self.items[row].item_id, _known(rating), _known(time))


def read_named(path: str | Path) -> RawData:
    """What a folder or a packaged set ("sample:movies") holds, before cleaning.

    Raises:
        DataError, UnknownName, MissingExtra: as `Dataset.load`.
    """
    if not isinstance(path, str | Path):
        raise DataError(
            f"The data is {path!r:.60}; give a folder, or a packaged set such as 'sample:movies'."
        )
    if str(path).startswith(SAMPLE):
        with sample_folder(str(path).removeprefix(SAMPLE)) as folder:
            raw = read_folder(folder)
    else:
        raw = read_folder(Path(path))
    raw.place = str(path)
    return raw


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
