"""Scorers that need no language model: baselines, retrievers and parts of a fusion, each written once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from llmrec_prompt.backends import Backend
from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import MissingExtra, UnknownName
from llmrec_prompt.scorers.base import Scorer, Scores
from llmrec_prompt.templates import Prompter

EMBEDDERS = ("auto", "backend", "minilm")
NEED_LOGS = ("als", "bpr", "co-occurrence", "item-knn", "lstm", "popularity", "recency", "sasrec")

NEED_NO_HISTORY = ("lstm", "popularity", "random", "recency", "sasrec")
"""What has an answer for a user of whom nothing is known."""

__all__ = [
    "EMBEDDERS",
    "NEED_LOGS",
    "NEED_NO_HISTORY",
    "SCORERS",
    "Ingredients",
    "Scorer",
    "Scores",
    "build_scorer",
]


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What scorers are made of."""

    dataset: Dataset
    prompter: Prompter
    backend: Callable[[], Backend] | None = None
    """Gives the language model, loading it if need be."""
    embedder: str = "auto"
    seed: int = 0


def build_scorer(name: str, given: Ingredients) -> Scorer:
    """Build and fit a scorer by name; what it needs is imported only now.

    A network trains for some minutes the first time it meets a data set, and comes out of the cache later.

    Raises:
        UnknownName: no such scorer.
        MissingExtra: the packages of an embedding, a network or a factor model are missing.
        DataError: recency, where no like is dated.
    """
    if name not in _BUILDERS:
        raise UnknownName("scorer", name, SCORERS)
    return _BUILDERS[name](given)


def _als(given: Ingredients) -> Scorer:
    with _extra_for("als", "baselines"):
        from llmrec_prompt.scorers.als import AlsScorer

    return AlsScorer(given.dataset, seed=given.seed)


def _bm25(given: Ingredients) -> Scorer:
    from llmrec_prompt.scorers.bm25 import Bm25Scorer

    return Bm25Scorer(given.dataset, given.prompter)


def _bpr(given: Ingredients) -> Scorer:
    with _extra_for("bpr", "baselines"):
        from llmrec_prompt.scorers.bpr import BprScorer

    return BprScorer(given.dataset, seed=given.seed)


def _cooccurrence(given: Ingredients) -> Scorer:
    from llmrec_prompt.scorers.cooccurrence import CooccurrenceScorer

    return CooccurrenceScorer(given.dataset)


def _embedding(given: Ingredients) -> Scorer:
    from llmrec_prompt.scorers.embedders import build_embedder
    from llmrec_prompt.scorers.embedding import EmbeddingScorer

    return EmbeddingScorer(given.dataset, given.prompter, build_embedder(given.embedder, given.backend))


def _item_knn(given: Ingredients) -> Scorer:
    from llmrec_prompt.scorers.item_knn import ItemKnnScorer

    return ItemKnnScorer(given.dataset)


def _lstm(given: Ingredients) -> Scorer:
    with _extra_for("lstm", "hf"):
        from llmrec_prompt.scorers.lstm import LstmScorer

    return LstmScorer(given.dataset, seed=given.seed)


def _popularity(given: Ingredients) -> Scorer:
    from llmrec_prompt.scorers.plain import PopularityScorer

    return PopularityScorer(given.dataset)


def _random(given: Ingredients) -> Scorer:
    from llmrec_prompt.scorers.plain import RandomScorer

    return RandomScorer(given.dataset, seed=given.seed)


def _recency(given: Ingredients) -> Scorer:
    from llmrec_prompt.scorers.recency import RecencyScorer

    return RecencyScorer(given.dataset)


def _sasrec(given: Ingredients) -> Scorer:
    with _extra_for("sasrec", "hf"):
        from llmrec_prompt.scorers.sasrec import SasrecScorer

    return SasrecScorer(given.dataset, seed=given.seed)


@contextmanager
def _extra_for(name: str, extra: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise MissingExtra(f"The scorer {name}", extra) from error


_BUILDERS: dict[str, Callable[[Ingredients], Scorer]] = {
    "als": _als,
    "bm25": _bm25,
    "bpr": _bpr,
    "co-occurrence": _cooccurrence,
    "embedding": _embedding,
    "item-knn": _item_knn,
    "lstm": _lstm,
    "popularity": _popularity,
    "random": _random,
    "recency": _recency,
    "sasrec": _sasrec,
}
SCORERS = tuple(_BUILDERS)
