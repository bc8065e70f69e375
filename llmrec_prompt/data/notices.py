"""What a careful reader must know of cleaned interactions; what may spoil every figure is a warning.

Knows no files.
"""

import json
import logging
import re
import shlex

import numpy as np

from llmrec_prompt.data.clean import Cleaning, Step
from llmrec_prompt.data.readers.raw import RawData
from llmrec_prompt.data.rows import Rows

log = logging.getLogger(__name__)
MUCH = 0.01
"""The share of interactions from which their loss is a warning and no mere figure of the report."""
UNDATED = "no timestamps: the order of the file is taken"
TIME_WORDS = frozenset({"date", "time", "datetime", "timestamp", "ts", "when"})


def warn_of_lost(raw: RawData, invalid: Step) -> None:
    """Warn when more than `MUCH` of the rows were dropped as invalid: say how many and why."""
    lost = invalid.rows_before - invalid.rows_after
    if lost <= MUCH * invalid.rows_before:
        return
    why = ", ".join(f"{count} x {reason}" for reason, count in invalid.why.items())
    look = f"`llmrec data inspect {shlex.quote(raw.place)}`" if raw.place else "`report` of the data set"
    log.warning(
        "%d of %d interactions of %s are dropped as invalid: %s; see %s.",
        *(lost, invalid.rows_before, raw.name, why, look),
    )


def undated(raw: RawData, rows: Rows) -> tuple[str, ...]:
    """The remark that nothing has a time; a warning where an unread column looks like one."""
    if not len(rows) or not np.isnan(rows.times).all():
        return ()
    alike = next((name for name in raw.unread if is_timelike(name)), None)
    if alike is not None:
        log.warning(
            "No interaction of %s has a timestamp, so the order of the file is taken for that of time; the "
            "column %r looks like a time and is not read. Rename it 'timestamp' (seconds or ISO dates), or "
            "put %s into meta.json.",
            *(raw.name, alike, json.dumps({"columns": {alike: "timestamp"}})),
        )
    return (UNDATED,)


def is_timelike(column: str) -> bool:
    """Whether a column's name looks like a time.

    >>> [is_timelike(name) for name in ("Order Date", "createdAt", "ts", "playtime", "at")]
    [True, True, True, False, False]
    """
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column).lower())
    return not TIME_WORDS.isdisjoint(words) or (len(words) > 1 and words[-1] == "at")


def unread(raw: RawData) -> tuple[str, ...]:
    """The remark that names columns of interactions that are not read."""
    return (f"columns not read: {', '.join(raw.unread)}",) if raw.unread else ()


def returned(raw: RawData, rows: Rows, cleaning: Cleaning, preferred: Step) -> tuple[str, ...]:
    """The remark, and warning, that ratings below 0 were judged by nobody: returns may count as likes."""
    below = int((rows.ratings < 0).sum())
    if not below or cleaning.preference != "auto":
        return ()
    block = json.dumps({"cleaning": {"preference": 1}})
    remark = (
        f"{below} of {len(rows)} ratings are below 0 ({preferred.name}): where they are returns, leave the "
        f"rows out, or put {block} into meta.json (`--preference 1` tries it)"
    )
    log.warning("%s: %s.", raw.name, remark)
    return (remark,)
