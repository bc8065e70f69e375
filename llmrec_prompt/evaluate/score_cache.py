"""Scores of language models kept by content, so that a rerun or an overlapping suite pays nothing twice.

The key is all that could change a score: the ranker and its settings, weights, adapter, engine, template,
what it was fitted on, the code, the history and the candidates. Values are JSON and arrays, never pickle.
"""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from llmrec_prompt.backends import Usage
from llmrec_prompt.cache import Numbers, NumberStore, cache_dir, content_key
from llmrec_prompt.rank import EncoderRanker, FusedRanker, Ranker
from llmrec_prompt.rank.identity import card_facts, catalogue_fingerprint, code_fingerprint, data_facts
from llmrec_prompt.recommender import Recommender
from llmrec_prompt.types import Candidates, History, Scored

WITHOUT_LOGS = ("likelihood", "label", "listed", "yes_no")
"""Modes that read the catalogue and no logs: their scores hold whoever else is tested."""
LATEST_S = 1.0
"""An answer waits no longer than this for others to be written with it, plus the time to the next one."""
NOT_ASKED = ("prompts", "candidates", "exclude_consumed")
"""Settings that change no score: the fingerprint knows the templates, the others are for retrieval."""


class ScoreStore:
    """Answers on disk by key. What comes quickly is written together; what took long is written at once.

    Args:
        numbers: where the bytes are; the user's cache if None.
    """

    def __init__(self, numbers: NumberStore | None = None) -> None:
        self._numbers = numbers or NumberStore(cache_dir() / "scores.sqlite", dtype="u1")
        self._waiting: dict[str, Numbers] = {}
        self._written = time.monotonic()
        self._lock = threading.RLock()

    def get(self, key: str) -> Scored | None:
        """The answer, if it is kept."""
        value = self._waiting.get(key)
        if value is None:
            value = self._numbers.get([key]).get(key)
        return None if value is None else unpack(value)

    def put(self, key: str, scored: Scored) -> None:
        """Keep an answer."""
        with self._lock:
            self._waiting[key] = pack(scored)
            if time.monotonic() - self._written > LATEST_S:
                self.write()

    def write(self) -> None:
        """Write what waits."""
        with self._lock:
            self._numbers.put(self._waiting)
            self._waiting, self._written = {}, time.monotonic()

    def close(self) -> None:
        """Write what waits, and close the file."""
        self.write()
        self._numbers.close()


class CachedRanker:
    """A ranker that remembers on disk what it was asked.

    Args:
        ranker: whose scores are kept.
        identity: all that could change a score besides history and candidates; see `identity_of`.
        store: where they are kept.
    """

    def __init__(self, ranker: Ranker, identity: str, store: ScoreStore) -> None:
        self.ranker, self.name, self._identity = ranker, ranker.name, identity
        self._store = store

    def score(self, history: History, candidates: Candidates) -> Scored:
        """What is kept (setting `cached`), or else what the ranker says; a refusal is asked again."""
        ids = [item.item_id for item in history], [item.item_id for item in candidates]
        key = content_key(self._identity, json.dumps(ids))
        found = self._store.get(key)
        if found is not None:
            found.settings["cached"] = True
            return found
        scored = self.ranker.score(history, candidates)
        self._store.put(key, scored)
        return scored

    def prepare(self, candidates: Candidates) -> None:
        """Let the ranker do so; what it prepares is kept by itself."""
        self.ranker.prepare(candidates)

    @property
    def usage(self) -> Usage | None:
        """The ranker's."""
        usage: Usage | None = getattr(self.ranker, "usage", None)
        return usage

    @property
    def origin(self) -> Mapping[str, Any]:
        """The ranker's."""
        return self.ranker.origin


def pack(scored: Scored) -> Numbers:
    r"""Bytes of an answer: a line of JSON, then each part as little-endian doubles.

    >>> unpack(pack(Scored({"a": [0.5, 2.0]}, {"a": 1.0}))).parts["a"].tolist()
    [0.5, 2.0]
    """
    head = {**asdict(scored), "parts": list(scored.parts)}
    text = json.dumps(head, default=np.ndarray.tolist)  # masks of candidates
    body = [np.asarray(part, "<f8").tobytes() for part in scored.parts.values()]
    return np.frombuffer(b"".join([text.encode(), b"\n", *body]), np.uint8)


def unpack(value: Numbers) -> Scored:
    """The answer that was packed."""
    head, _, body = value.tobytes().partition(b"\n")
    facts = json.loads(head)
    names = facts.pop("parts")
    for name, mask in facts.get("stand_ins", {}).items():
        facts["stand_ins"][name] = np.array(mask, dtype=bool)
    numbers = np.frombuffer(body, "<f8").reshape(len(names), -1)
    return Scored(dict(zip(names, numbers, strict=True)), **facts)


def cached(ranker: Ranker, recommender: Recommender, store: ScoreStore) -> Ranker:
    """The ranker behind the cache if a language model takes part; others are as quick as the cache."""
    return CachedRanker(ranker, identity_of(ranker, recommender), store) if ranker.origin else ranker


def identity_of(ranker: Ranker, recommender: Recommender) -> str:
    """All that could change a score besides history and candidates, as JSON.

    Names of models, adapters and data sets do not count: their hashes do.
    """
    info = recommender.backend.info
    origin = {key: value for key, value in ranker.origin.items() if key not in ("model", "adapter")}
    settings = {k: v for k, v in asdict(recommender.settings).items() if k not in NOT_ASKED}
    facts = {
        "ranker": ranker.name,
        **origin,
        **settings,
        "own": getattr(ranker, "settings", {}),
        "fusion": ranker.weights if isinstance(ranker, FusedRanker) else {},
        "card": card_facts(recommender.card),
        "engine": [info.identity, info.context],
        "fitted": fitted_on(ranker, recommender),
        "code": code_fingerprint(),
    }
    return json.dumps(facts, sort_keys=True, default=str)


def fitted_on(ranker: Ranker, recommender: Recommender) -> str:
    """Fingerprint of the data that a ranker's scores depend on: the catalogue, or the logs, too."""
    logs = ranker.name not in WITHOUT_LOGS or recommender.settings.calibration == "users"
    if isinstance(ranker, EncoderRanker) and not ranker.settings["popularity"]:
        logs = False
    dataset = recommender.dataset
    if not logs:
        return catalogue_fingerprint(dataset)
    return " ".join([dataset.fingerprint, *data_facts(dataset).values()])
