"""docs/data.md, executed: the same files, the same code, the same commands."""

import json
import re
import shlex
from pathlib import Path

import pytest

from llmrec_prompt import Dataset
from llmrec_prompt.data.clean import KEYS
from llmrec_prompt.data.readers.meta import KNOWN

PAGE = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


def of(kind):
    return [body for name, body in BLOCKS if name == kind]


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "my_shop"
    folder.mkdir()
    (meta,), (orders, items) = of("json"), of("csv")
    for path, text in ((folder / "meta.json", meta), (tmp_path / "orders.csv", orders)):
        path.write_text(text, encoding="utf-8")
    (folder / "items.csv").write_text(items, encoding="utf-8-sig")
    return folder


def test_the_page_runs(shop, llmrec, caplog):
    for code in of("python"):
        exec(compile(code, "data.md", "exec"), {})
    data = Dataset.load(shop)
    assert (data.domain, data.meta["licence"]) == ("shopping", "ours")
    assert [item.price for item in data.items] == [3.5, 21.0, 18.9]
    assert data.item("cup").categories == ("kitchen", "gifts")
    assert {user: [row.item_id for row in data.history(user)] for user in data.users} == {
        "7": ["pot"],
        "8": ["cup", "pan"],
    }
    for line in of("console")[0].splitlines():
        done = llmrec(*shlex.split(line)[1:])
        assert done.code == 0, done.err
    assert "Pot" in done.out
    assert not caplog.messages


def test_the_page_tells_all_keys():
    section = PAGE.partition("## meta.json")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == KNOWN
    (meta,) = of("json")
    assert set(json.loads(meta)["cleaning"]) == KEYS
