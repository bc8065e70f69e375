"""Hypothesis strategies and small builders shared by the tests of the data room."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import strategies as st

from llmrec_prompt.data import Cleaning, Dataset
from llmrec_prompt.types import Interaction

SHARED = Path(os.environ.get("LLMREC_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))

# What nobody sees is no title; \x00-\x1f would be stripped or break lines of formats that have no quoting.
texts = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8)
ids = st.text("abcXYZ019-_.é中", min_size=1, max_size=6)
finite = st.floats(-1e6, 1e6, allow_nan=False)


@st.composite
def item_rows(draw, min_size=1, max_size=8):
    names = draw(st.lists(ids, min_size=min_size, max_size=max_size, unique=True))
    return [
        {
            "item_id": name,
            "title": draw(texts),
            "categories": draw(st.lists(texts, max_size=3, unique=True)),
            "creator": draw(texts | st.just("")),
            "year": draw(st.integers(1900, 2030).map(str) | st.just("")),
            "price": draw(st.floats(0, 1e4) | st.none()),
            "shelf": draw(st.integers(0, 9)),
        }
        for name in names
    ]


@st.composite
def data_sets(draw, cleaning=None, min_items=1):
    rows = draw(item_rows(min_size=min_items, max_size=12))
    known = [row["item_id"] for row in rows]
    logs = draw(
        st.lists(
            st.builds(
                Interaction,
                user_id=st.sampled_from(["u1", "u2", "u3", "ü"]),
                item_id=st.sampled_from(known),
                rating=st.none() | st.sampled_from([0.5, 1.0, 3.0, 4.5]),
                timestamp=st.none() | st.integers(-2_000_000_000, 2_000_000_000).map(float),
            ),
            max_size=25,
        )
    )
    return Dataset.from_rows(rows, logs, cleaning=cleaning)


def catalogue(count):
    return [{"item_id": f"i{n}", "title": f"Title {n}"} for n in range(count)]


def logs(text: str) -> list[Interaction]:
    """`user item rating time` per line; "-" is nothing."""
    cells = [line.split() for line in text.strip().splitlines()]
    return [Interaction(u, i, _number(r), _number(t)) for u, i, r, t in cells]


def _number(cell):
    return None if cell == "-" else float(cell)


def keep_all(**more):
    return Cleaning(preference="none", **more)


def write_lines(path: Path, lines: Iterable[str], encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + "\n" for line in lines).encode(encoding))
    return path


def write_jsonl(path: Path, rows) -> Path:
    return write_lines(path, (json.dumps(row) for row in rows))


def shared_set(name: str) -> Path:
    if not (SHARED / name / "meta.json").is_file():
        pytest.skip(f"real data set {name} is not in {SHARED} (set LLMREC_SHARED_DATA)")
    return SHARED / name
