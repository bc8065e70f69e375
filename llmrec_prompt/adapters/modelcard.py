"""The README.md of an adapter, written from its card."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from llmrec_prompt.adapters.card import README, Card
from llmrec_prompt.cache import write_atomically

HUB_LICENCES = {
    "apache-2.0", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-sa-3.0",
    "cc-by-sa-4.0", "cc0-1.0", "gpl-3.0", "mit", "odc-by", "openrail",
}  # fmt: skip
"""Licences for which the hub has a name; any other is stated as text."""
GENERAL = "general"


def write_readme(card: Card, folder: Path | str) -> Path:
    """Write README.md into an adapter folder."""
    return write_atomically(Path(folder) / README, readme(card))


def readme(card: Card) -> str:
    """The model card as Markdown with the front matter that the Hugging Face hub reads."""
    parts = [_front_matter(card), f"# {card.name}\n", _purpose(card), _use(card), _data(card)]
    parts += [_metrics(card.metrics), _limits(card)]
    return "\n".join(part for part in parts if part)


def _front_matter(card: Card) -> str:
    licence = card.licence.lower().replace(" ", "-")
    known = licence in HUB_LICENCES
    values: dict[str, Any] = {
        "library_name": "peft",
        "base_model": card.base.hub or card.base.ref,
        "license": licence if known else "other",
        **({} if known or not card.licence else {"license_name": card.licence}),
        "language": [card.language],
        "tags": ["lora", "recommender", "llmrec-prompt", card.domain],
    }
    return f"---\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}---\n"


def _purpose(card: Card) -> str:
    what = "any domain" if card.domain == GENERAL else f"the domain `{card.domain}`"
    layers = "" if card.lora.layers is None else f" in {len(card.lora.layers)} layers"
    lines = [
        "## What it is for\n",
        f"A LoRA adapter of `{card.base.ref}` that ranks items for a user's history in {what}, through "
        f"[llmrec-prompt](https://pypi.org/project/llmrec-prompt/). It was trained on the objective "
        f"`{card.objective}` and serves the ranking mode `{card.mode}`: rank {card.lora.r} on "
        f"{', '.join(card.lora.targets)}{layers}, {card.minutes:.0f} minutes, seed {card.seed}.\n",
    ]
    if card.parents:
        parents = ", ".join(
            f"`{p.name}`" + ("" if p.weight is None else f" (weight {p.weight:.3g})") for p in card.parents
        )
        lines.append(f"It starts from: {parents}.\n")
    return "\n".join(lines)


def _use(card: Card) -> str:
    domain = "" if card.domain == GENERAL else f" --domain {card.domain}"
    return f"""## How to use it

```console
pip install "llmrec-prompt[local]"
llmrec adapters add FOLDER
llmrec recommend --data MY_DATA --user ID{domain} --adapter {card.name} --model {card.base.ref}
```

```python
from llmrec_prompt import Recommender

rec = Recommender("MY_DATA", model="{card.base.ref}", adapter="{card.name}")
rec.recommend(history=["A title", "Another title"], k=10)
rec.use(None)  # the base again; it stays loaded
```

The folder is plain PEFT. `llmrec adapters export {card.name} --vllm` (or `--llama-server`) prints how to
serve it elsewhere.
"""


def _data(card: Card) -> str:
    lines = [
        "## Training data and licence\n",
        "| data set | users | interactions | licence |",
        "|---|---|---|---|",
    ]
    lines += [f"| {s.name} | {s.users} | {s.interactions} | {s.licence or 'not stated'} |" for s in card.data]
    lines.append(f"\nLicence of the adapter: {card.licence or 'not stated'}.")
    lines.append(
        "`users.txt` holds a hash of every user whose history was trained on, so that nobody tests on them. "
        "These are pseudonyms: whoever can list the users' ids, or knows what a user liked first, can tell "
        "who is among them.\n"
    )
    return "\n".join(lines)


def _metrics(metrics: Mapping[str, Any]) -> str:
    rows = list(_flat(metrics, ()))
    if not rows:
        return ""
    lines = ["## Metrics\n", "| measured on | metric | value |", "|---|---|---|"]
    lines += [f"| {' '.join(path[:-1])} | {path[-1]} | {value} |" for path, value in rows]
    return "\n".join(lines) + "\n"


def _flat(values: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, value in values.items():
        here = (*path, str(name))
        if isinstance(value, Mapping):
            yield from _flat(value, here)
        else:
            yield here, f"{value:.4g}" if isinstance(value, float) else str(value)


def _limits(card: Card) -> str:
    lines = [
        "## Limits\n",
        f"- It works on this base only (`{card.base.ref}`, {card.base.hash}); another is refused.",
        f"- It was trained with {card.history} history items a prompt and the templates of: "
        f"{', '.join(card.templates) or 'no domain'} ({card.language}); changed templates are refused.",
        "- It learnt from what those users chose. What they rarely saw, it ranks by its text alone.",
    ]
    if any(card.popularity.values()):
        weights = ", ".join(f"{task} {weight:.3g}" for task, weight in card.popularity.items())
        lines.append(
            f"- A popularity term is added where there are logs (weights: {weights}). "
            "It favours what is popular already."
        )
    return "\n".join(lines) + "\n"
