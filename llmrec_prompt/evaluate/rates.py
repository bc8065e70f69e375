"""What rankers took in earlier runs on this machine, so that the next run can be estimated."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llmrec_prompt.cache import cache_dir, write_atomically
from llmrec_prompt.evaluate.plan import Plan
from llmrec_prompt.rank import parts_of
from llmrec_prompt.scorers import SCORERS
from llmrec_prompt.scorers.embedders import embeds_with_model


@dataclass(frozen=True, slots=True)
class Rate:
    """Seconds and tokens of a question, and of what comes before; `source` says where they come from."""

    seconds: float
    tokens: float
    item_seconds: float = 0.0
    item_tokens: float = 0.0
    build_seconds: float = 0.0
    """Of fitting or loading, once."""
    source: str = "recorded"


def uses_model(ranker: str, embedder: str) -> bool:
    """Whether a language model takes part in a ranker.

    >>> uses_model("bm25", "backend"), uses_model("embedding", "backend"), uses_model("fused", "auto")
    (False, True, True)
    >>> uses_model("bm25+popularity", "auto"), uses_model("bm25+encoder", "auto")
    (False, True)
    """
    if ranker == "embedding":
        return embeds_with_model(embedder)
    if parts := parts_of(ranker):
        return any(uses_model(part, embedder) for part in parts)
    return ranker not in SCORERS


def rate_key(plan: Plan, ranker: str) -> str:
    """What a rate holds for: a ranker, its model and adapter, the data, how many are ranked after what."""
    own = [plan.model, plan.adapter or ""] if uses_model(ranker, plan.embedder) else []
    whole = "full" if plan.retrieve is None else f"full, {plan.retrieve} retrieved"
    number = whole if plan.negatives == "full" else plan.candidates
    return json.dumps([ranker, Path(plan.data).name, number, plan.history, *own])


def recorded() -> dict[str, Rate]:
    """Rates of earlier runs on this machine."""
    try:
        content = json.loads(_path().read_text(encoding="utf-8"))
        return {key: Rate(**value) for key, value in content.items()}
    except (OSError, ValueError, TypeError):  # none yet, or damaged: measured again
        return {}


def record(plan: Plan, costs: Mapping[str, Mapping[str, Any]]) -> None:
    """Remember what a run took, for the next estimate; a ranker that was not asked says nothing."""
    found = recorded()
    for ranker, cost in costs.items():
        if cost["computed"]:
            items = cost.get("prepared") or 1
            found[rate_key(plan, ranker)] = Rate(
                seconds=cost["seconds_per_user"],
                tokens=cost["tokens_per_user"],
                item_seconds=cost.get("prepare_seconds", 0) / items,
                item_tokens=cost.get("prepare_tokens", 0) / items,
                build_seconds=cost.get("build_seconds", 0.0),
            )
    text = json.dumps({key: asdict(rate) for key, rate in found.items()}, indent=1) + "\n"
    with contextlib.suppress(OSError):  # no cache is a reason not to show what was found
        write_atomically(_path(), text)


def _path() -> Path:
    return cache_dir() / "rates.json"
