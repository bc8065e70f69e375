"""Every real data set loads, and its counts are those of its meta.json."""

import json
from pathlib import Path

import numpy as np
import pytest

from llmrec_prompt.data import Dataset, leave_last_out, sample_candidates

from .strategies import keep_all, shared_set

RULES = {
    "movielens-small": ("movies", "rating >= 3.5 (scale 0.5-5 seen)"),
    "online-retail": ("shopping", "all rows kept (210 distinct values 1-80995 are no rating scale)"),
    "shakespeare-co": ("books", "all rows kept (every rating is 1)"),
    "ifdb": ("games", "rating >= 1 (only 0 and 1 seen)"),
    "restaurants-mx": ("restaurants", "rating >= 1.4 (scale 0-2 seen)"),
    "se-quantum": ("social", "all rows kept (2 distinct values 1-2 are no rating scale)"),
    "nemig-de": ("news", "all rows kept (every rating is 1)"),
}


@pytest.mark.parametrize("name", RULES)
def test_counts_and_rule(name):
    folder = shared_set(name)
    meta = json.loads((folder / "meta.json").read_text())
    data = Dataset.load(folder)
    domain, rule = RULES[name]
    assert data.domain == domain
    steps = {step.name: step for step in data.report.steps}
    assert f"preference: {rule}" in steps
    assert steps["invalid rows"].rows_before == steps["repeats"].rows_before == meta["interactions"]
    lost = data.report.notes.get("users left without a liked item", 0)
    assert len(data.users) + lost == meta["users"]
    # nemig-de counts only items that somebody read; its catalogue holds all that were shown.
    rows = np.unique(Dataset.load(folder, cleaning=keep_all()).pairs()[1])
    assert meta["items"] in (len(data.items), len(rows))
    times = [row.timestamp for row in data.interactions if row.timestamp is not None]
    assert not times or meta["ts_min"] <= min(times) <= max(times) <= meta["ts_max"]


PAGE = Path(__file__).parents[2] / "docs" / "datasets.md"


@pytest.mark.parametrize("name", RULES)
def test_the_page_of_data_sets_counts_as_we_do(name):
    data = Dataset.load(shared_set(name))
    liked = sum(1 for _ in data.interactions)
    counts = f"{len(data.items):,} | {len(data.users):,} | {liked:,} | `{data.fingerprint}` | {data.domain}"
    assert f"| `{name}` | {counts} |" in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["shakespeare-co", "restaurants-mx"])
def test_cases_and_candidates(name):
    split = leave_last_out(Dataset.load(shared_set(name)), users=50, seed=1, min_history=3)
    for case in split.cases:
        assert case.target in sample_candidates(split, case, n=20, kind="popular", seed=1)


def test_undated_rows_are_never_the_target_of_a_dated_user():
    data = Dataset.load(shared_set("ifdb"), cleaning=keep_all())
    histories = [data.history(user) for user in data.users]
    mixed = [h for h in histories if 0 < sum(row.timestamp is None for row in h) < len(h)]
    assert mixed
    assert all(h[-1].timestamp is not None for h in mixed)
