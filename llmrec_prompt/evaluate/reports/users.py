"""Some users of a report one by one: what they had, what was asked, where each ranker put what."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmrec_prompt.evaluate.reports.sheet import Labelled
from llmrec_prompt.evaluate.run import Row, RunDirectory, read_lines

LATEST = 12
"""History items shown."""
LINES = 20
"""Candidates shown: the target, then those that the best ranker puts first."""

User = dict[str, Any]


def users_of(labelled: Labelled, order: Sequence[str], *, most: int) -> list[User]:
    """The sampled users of an exam; empty for runs that kept no sample.

    Args:
        labelled: its runs.
        order: rankers, the best first.
        most: how many users.
    """
    sample = {line["user"]: line for line in _sample(labelled)[:most]}
    rows: dict[str, dict[str, Row]] = {user: {} for user in sample}
    for run, labels in labelled:
        for row in run.rows():
            if row["user"] in sample:
                rows[row["user"]][labels[row["ranker"]]] = row
    titles = _titles(labelled[0][0], sample.values(), rows)
    return [_user(kept, rows[user], order, titles) for user, kept in sample.items()]


def _sample(labelled: Labelled) -> list[Row]:
    """Of the run that kept prompts, if one did: those are the only difference between them."""
    samples = [list(read_lines(run.folder / "sample.jsonl")) for run, _ in labelled]
    return max(samples, key=lambda lines: sum(line["prompt"] is not None for line in lines))


def _titles(run: RunDirectory, sample: Any, rows: Mapping[str, Mapping[str, Row]]) -> dict[str, str]:
    """Titles of all items that will be shown, and of no others."""
    wanted = {i for kept in sample for part in ("history", "candidates", "targets") for i in kept[part]}
    wanted |= {i for own in rows.values() for row in own.values() for i in row.get("ids", [])[:LINES]}
    lines = read_lines(run.folder / "items.jsonl")
    return {line["item_id"]: line["title"] for line in lines if line["item_id"] in wanted}


def _user(kept: Row, rows: Mapping[str, Row], order: Sequence[str], titles: Mapping[str, str]) -> User:
    names = [name for name in order if name in rows]
    ranks = {name: _ranks(rows[name]) for name in names}
    found = {name: row["target_rank"] for name, row in rows.items() if "target_rank" in row}
    return {
        "user": kept["user"],
        "history": [titles.get(i, i) for i in kept["history"][-LATEST:]],
        "earlier": max(0, len(kept["history"]) - LATEST),
        "prompt": kept["prompt"],
        "names": names,
        "targets": [titles.get(i, i) for i in kept["targets"]],
        "best": min(found.values(), default=None),
        "lines": [
            {
                "title": titles.get(i, i),
                "target": i in kept["targets"],
                "ranks": [ranks[name].get(i) for name in names],
            }
            for i in _shown(kept, names, ranks)
        ],
        "refused": {name: row["why"] for name, row in rows.items() if "why" in row},
    }


def _ranks(row: Row) -> dict[str, int]:
    """Rank of every id that the row keeps, and of the target."""
    known = {item_id: rank for rank, item_id in enumerate(row.get("ids", []), start=1)}
    return {**({row["target"]: row["target_rank"]} if "target_rank" in row else {}), **known}


def _shown(kept: Row, names: Sequence[str], ranks: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """The targets, then candidates in the order of the best ranker; candidates as they came without one."""
    first = ranks[names[0]] if names else {}
    known = sorted(first, key=first.__getitem__) if first else kept["candidates"]
    rest = [item_id for item_id in known if item_id not in kept["targets"]]
    yield from [*kept["targets"], *rest][:LINES]
