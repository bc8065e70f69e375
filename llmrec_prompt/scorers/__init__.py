"""Scorers that need no language model: baselines, retrievers and parts of a fusion, each written once."""

from collections.abc import Callable
from dataclasses import dataclass

from llmrec_prompt.backends import Backend
from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import UnknownName
from llmrec_prompt.scorers.base import Scorer, Scores
from llmrec_prompt.templates import Prompter

SCORERS = ("bm25", "co-occurrence", "embedding", "item-knn", "popularity", "random")
EMBEDDERS = ("auto", "backend", "minilm")
NEED_LOGS = ("co-occurrence", "item-knn", "popularity")

__all__ = ["EMBEDDERS", "NEED_LOGS", "SCORERS", "Ingredients", "Scorer", "Scores", "build_scorer"]


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

    Raises:
        UnknownName: no such scorer.
        MissingExtra: the embedding's packages are missing.
    """
    if name == "random":
        from llmrec_prompt.scorers.plain import RandomScorer

        return RandomScorer(given.dataset, seed=given.seed)
    if name == "popularity":
        from llmrec_prompt.scorers.plain import PopularityScorer

        return PopularityScorer(given.dataset)
    if name == "bm25":
        from llmrec_prompt.scorers.bm25 import Bm25Scorer

        return Bm25Scorer(given.dataset, given.prompter)
    if name == "co-occurrence":
        from llmrec_prompt.scorers.cooccurrence import CooccurrenceScorer

        return CooccurrenceScorer(given.dataset)
    if name == "item-knn":
        from llmrec_prompt.scorers.item_knn import ItemKnnScorer

        return ItemKnnScorer(given.dataset)
    if name == "embedding":
        from llmrec_prompt.scorers.embedders import build_embedder
        from llmrec_prompt.scorers.embedding import EmbeddingScorer

        return EmbeddingScorer(given.dataset, given.prompter, build_embedder(given.embedder, given.backend))
    raise UnknownName("scorer", name, SCORERS)
