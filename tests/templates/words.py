"""Small builders shared by the tests of the template room."""

from pathlib import Path

import yaml

from llmrec_prompt.templates import Domain, Prompter
from llmrec_prompt.types import Item

FIELDS = {"noun": "thing", "nouns": "things", "person": "person", "verb": "saw"}


def domain(name="shop", **fields) -> Domain:
    return Domain(**{"name": name, **FIELDS, **fields})


def write_domain(folder: Path, name="shop", **fields) -> Path:
    """A domain.yaml in its folder; also gives the folder of all domains, `folder`."""
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump({"name": name, **FIELDS, **fields}, allow_unicode=True)
    (place / "domain.yaml").write_text(text, encoding="utf-8")
    return folder


def write_template(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return folder


def items(*titles, **fields) -> list[Item]:
    return [Item(item_id=f"i{n}", title=title, **fields) for n, title in enumerate(titles)]


def prompt(*titles, prompter: Prompter | None = None) -> str:
    return (prompter or Prompter(domain())).history(items(*titles)).text
