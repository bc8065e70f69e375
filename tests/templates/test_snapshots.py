"""What every packaged domain really says, word for word: a changed prompt changes every number.

LLMREC_UPDATE_SNAPSHOTS=1 writes the snapshots anew; read the diff before it is committed.
"""

import os
from pathlib import Path

import pytest

from llmrec_prompt.data import DOMAINS
from llmrec_prompt.templates import Prompter, list_domains, load_domain
from llmrec_prompt.types import Item

SNAPSHOTS = Path(__file__).parents[1] / "snapshots"
NAMES = sorted({*DOMAINS, "generic"})
LANGUAGES = ("en", "zh")
HISTORY = (
    Item(
        item_id="1",
        title="The Lantern Keeper (1979)",
        categories=("Drama", "Mystery", "Sea"),
        creator="A. Weir",
        price=12.5,
        tags=("quiet",),
        description="A lighthouse, two brothers.",
    ),
    Item(item_id="2", title="星河旅店", categories=("科幻",), creator="李舟", price=40.0),
    Item(item_id="3", title="Plain & Simple", price=99.0),
)


def rendered(name: str, language: str) -> str:
    prompter = Prompter(load_domain(name), language=language, catalogue=HISTORY)
    abouts = "".join(f"{prompter.about(item)}\n" for item in HISTORY)
    return f"{prompter.history(HISTORY).text}--- about\n{abouts}"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_prompt(name, language, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the library's own templates, not those of the folder pytest runs in
    path = SNAPSHOTS / f"{name}.{language}.txt"
    if os.environ.get("LLMREC_UPDATE_SNAPSHOTS") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(rendered(name, language), encoding="utf-8")
    assert rendered(name, language) == path.read_text(encoding="utf-8")


def test_all_domains_and_no_others_have_snapshots(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert list(list_domains()) == NAMES
    names = {f"{name}.{language}.txt" for name in NAMES for language in LANGUAGES}
    assert {path.name for path in SNAPSHOTS.glob("*.txt")} == names
