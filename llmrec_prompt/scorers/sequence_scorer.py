"""A sequence network as a scorer: trained on first use, kept in the cache, asked about any history."""

import contextlib
import json
import math
from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from llmrec_prompt.cache import cache_dir, content_key, whole_file
from llmrec_prompt.data import Dataset
from llmrec_prompt.scorers.base import Scores
from llmrec_prompt.scorers.sequence_training import NextItemNetwork, Outcome, Plan, seeded, train
from llmrec_prompt.scorers.sequences import Rows, read_sequences
from llmrec_prompt.types import History

FORM = 2
"""Number of the training; raised when the same settings come to give other weights."""


class SequenceScorer(ABC):
    """Logits of the next item given the latest `plan.length` items of a history.

    The network knows the items that somebody in the data set has. History items it does not know are
    skipped; catalogue items it does not know score as low as the lowest. Every history is read alike,
    whether its user was trained on or not: there are no embeddings of user ids.
    """

    name: str

    def __init__(self, dataset: Dataset, shape: Any, plan: Plan, seed: int) -> None:
        self._size, self._shape, self._plan, self._seed = len(dataset.items), shape, plan, seed
        sequences = read_sequences(dataset, share=plan.validation, seed=seed)
        self._rows = sequences.vocabulary
        self._codes = {dataset.items[row].item_id: code for code, row in enumerate(self._rows.tolist())}
        self._users = (len(sequences.trained), len(sequences.validation))
        self._outcome = Outcome(0, 0, float("nan"))
        self._network: NextItemNetwork | None = None
        if sequences.trained:
            with seeded(seed):
                self._network = self.build(sequences.counts, shape, plan.length).eval()
            file = self._file(dataset)
            known = _load(self._network, file)
            self._outcome = known or train(
                self._network, sequences, plan, seed=seed, label=f"Training {self.name}"
            )
            if not known:
                _save(self._network, file, self._outcome)

    @staticmethod
    @abstractmethod
    def build(counts: Rows, shape: Any, length: int) -> NextItemNetwork:
        """An untrained network of a shape over v items, for histories of at most `length` items."""

    def _file(self, dataset: Dataset) -> Path:
        plan = json.dumps([asdict(self._shape), asdict(self._plan), self._seed], sort_keys=True)
        version = f"{FORM} torch {torch.__version__}"
        key = content_key("network", version, self.name, dataset.fingerprint, plan)
        return cache_dir() / "networks" / f"{key}.safetensors"

    def score(self, history: History) -> Scores:
        """Logits; for an empty history those of a first item, near popularity; zeros without any logs."""
        scores: Scores = np.zeros(self._size)
        if self._network is None:
            return scores
        known = [self._codes[item.item_id] for item in history if item.item_id in self._codes]
        inputs = torch.tensor([[self._network.vocabulary, *known[-self._plan.length :]]])
        with torch.inference_mode():
            logits = self._network.logits(self._network(inputs)[0, -1]).numpy().astype(np.float64)
        scores[:] = logits.min()
        scores[self._rows] = logits
        return scores

    @property
    def settings(self) -> dict[str, object]:
        """Shape, training, how long it trained and what it reached on validation users (None without)."""
        weights = self._network.parameters() if self._network is not None else ()
        ndcg = self._outcome.ndcg
        return {
            **asdict(self._shape),
            **asdict(self._plan),
            "seed": self._seed,
            "parameters": sum(weight.numel() for weight in weights),
            "trained_users": self._users[0],
            "validation_users": self._users[1],
            "best_epoch": self._outcome.epochs,
            "epochs_run": self._outcome.epochs_run,
            "validation_ndcg@10": None if math.isnan(ndcg) else round(ndcg, 4),
        }


def _load(network: NextItemNetwork, file: Path) -> Outcome | None:
    """Fill in the weights of a file, if it is there and whole; otherwise the network stays as it is."""
    if not file.is_file():
        return None
    try:
        with safe_open(file, "pt") as opened:
            outcome = Outcome(**json.loads(opened.metadata()["outcome"]))
            weights = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        network.load_state_dict(weights)
    except (KeyError, OSError, RuntimeError, SafetensorError, TypeError, ValueError):
        return None  # damaged: trained again
    return outcome


def _save(network: NextItemNetwork, file: Path, outcome: Outcome) -> None:
    """Keep the weights and what the training said of them."""
    metadata = {"outcome": json.dumps(asdict(outcome))}
    # No room or read-only: trained again next time.
    with contextlib.suppress(OSError, SafetensorError), whole_file(file) as partial:
        save_file({key: w.contiguous() for key, w in network.state_dict().items()}, partial, metadata)
