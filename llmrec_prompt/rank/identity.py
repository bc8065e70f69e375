"""What could change a score, as hashes: kept answers and kept weights are found by it, or not at all."""

import functools
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from llmrec_prompt.adapters import Card
from llmrec_prompt.data import Dataset

ROOMS = ("adapters", "backends", "data", "rank", "retrieve", "scorers", "templates")
"""Code that takes part in a score."""
ACTING = (
    "mode", "templates", "unlabelled", "language", "history", "scale", "near", "focus", "reach", "centred",
    "popularity",
)  # fmt: skip
"""Fields of a card that a ranking follows."""


def card_facts(card: Card | None) -> dict[str, Any]:
    """What an adapter's card says that its ranking follows; its weights have a hash of their own."""
    return {} if card is None else card.model_dump(mode="json", include=set(ACTING))


def data_facts(dataset: Dataset) -> dict[str, str]:
    """What scorers read of the logs and the fingerprint does not hold: when, and who met what unliked."""
    times = np.nan_to_num(dataset.times(), nan=-1.0).astype("<f8")
    return {"times": _digest(times.tobytes()), "met": _digest(np.packbits(dataset.met()).tobytes())}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def catalogue_fingerprint(dataset: Dataset) -> str:
    """16 hex digits over the items alone."""
    digest = hashlib.sha256()
    for item in dataset.items:
        digest.update(item.model_dump_json().encode() + b"\n")
    return digest.hexdigest()[:16]


@functools.cache
def code_fingerprint() -> str:
    """16 hex digits over the code that takes part in a score: a mended ranker shall not find old scores."""
    package, digest = Path(__file__).parents[1], hashlib.sha256()
    for room in ROOMS:
        for path in sorted((package / room).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
