"""What every language model backend can be asked. Knows nothing of recommendation.

Batch in, list out, same order. Log-probabilities are natural logarithms.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
import numpy.typing as npt

from llmrec_prompt.errors import BackendError, Unsupported

Capability = Literal["score", "choose", "generate", "schema", "embed", "adapters"]
ALL: frozenset[Capability] = frozenset(get_args(Capability))
MODES: Mapping[Capability, str] = {"choose": "--mode label --retrieve 20", "generate": "--mode listed"}
"""Modes that ask for no more than one capability, which servers have more often than others."""
Message = Mapping[str, str]
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Score:
    """log p(continuation | prompt) in nats, and over how many tokens it was summed."""

    logprob: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Choice:
    """Normalised log-probabilities of single-token labels, and how much probability they hold in all.

    A server shows the likeliest tokens only: the labels at the places in `outside` are not among them, and
    their values are upper bounds. `mass` is that of the labels that are.
    """

    logprobs: tuple[float, ...]
    mass: float
    outside: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Who answers. `hash` identifies the weights; `context` is the most tokens of one sequence.

    `remarks` say of a capability that is there how it falls short, and of one that is not why.
    """

    ref: str
    hash: str
    engine: str
    context: int
    dimensions: int
    can: frozenset[Capability]
    remarks: Mapping[Capability, str] = field(default_factory=dict)
    at_once: int = 1
    """How many rankings may ask it at the same time, each from a thread of its own."""
    build: str = ""
    """The engine's version."""
    guesses_tokens: bool = False
    """Whether `count_tokens` guesses: nobody can tell then which labels are one token."""

    @property
    def identity(self) -> str:
        """What computes with which weights: a part of the key of every number that is kept."""
        return f"{self.engine}-{self.build}-{self.hash}"


@dataclass(slots=True)
class Usage:
    """Tokens pushed through the model, and tokens whose state was reused instead."""

    evaluated: int = 0
    reused: int = 0


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """One prompt and the continuations to be scored after it."""

    prompt: str
    continuations: Sequence[str]


@runtime_checkable
class Backend(Protocol):
    """The one protocol all engines answer.

    Text is tokenised plainly: `<|im_end|>` in a title is ten characters, never a control token.
    Prompt and continuation are tokenised together and split at the common token prefix, so a
    continuation's score holds whatever tokens its last boundary changed (lm-evaluation-harness does the
    same; tok(a + b) != tok(a) + tok(b)).
    """

    info: ModelInfo
    usage: Usage
    adapter: str | None

    @property
    def adapter_hash(self) -> str:
        """What the adapter in force was when it was loaded, whatever its files are now; empty without."""
        ...

    def score(self, requests: Sequence[ScoreRequest]) -> list[list[Score]]:
        """Score every continuation of every request; the prompt of a request is evaluated once.

        Raises:
            ContextOverflow: a prompt and its longest continuation do not fit.
            BackendError: an empty continuation, or an empty prompt for a model without BOS.
        """
        ...

    def choose(self, prompts: Sequence[str], labels: Sequence[str]) -> list[Choice]:
        """For each prompt, the log-probabilities of the labels as next token.

        Raises:
            BackendError: a label is not exactly one token after a prompt, or two labels are the same token.
        """
        ...

    def generate(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 256,
    ) -> Any:
        """Answer a conversation greedily: text, or with a JSON `schema` the parsed object.

        Raises:
            Unsupported: this backend cannot keep to a schema.
            AnswerError: the object was cut off at `max_tokens`, or the model refused.
        """
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The last hidden state (after the final norm) at each text's end: (len(texts), dimensions)."""
        ...

    def count_tokens(self, text: str) -> int:
        """How many tokens the text alone makes (with BOS where the model wants one)."""
        ...

    def use(self, adapter: str | None) -> None:
        """Switch to a LoRA adapter (a path) or back to the base; all cached state of the other is dropped."""
        ...

    def close(self) -> None:
        """Free what the engine holds."""
        ...


def require(backend: Backend, capability: Capability, *, wanted_by: str) -> None:
    """Ask for a capability when a mode is built, never in the middle of a run.

    Raises:
        Unsupported: the backend lacks it.
    """
    if capability not in backend.info.can:
        have = ", ".join(sorted(backend.info.can)) or "nothing"
        why = backend.info.remarks.get(capability, "")
        other = _other_mode(backend, capability) if wanted_by.startswith("Mode") else "another mode"
        raise Unsupported(
            f"{wanted_by} asks for {capability!r}, but {backend.info.ref} can do: {have}. "
            f"{f'Found: {why}. ' if why else ''}Choose another model or {other}."
        )


def _other_mode(backend: Backend, capability: Capability) -> str:
    """What else to ask of it, as options of the command line."""
    found = [mode for other, mode in MODES.items() if other != capability and other in backend.info.can]
    return f"a mode it can do: {' or '.join(found)}" if found else "another mode"


def shortfall(backend: Backend, capability: Capability) -> dict[str, str]:
    """Setting `degraded` of a ranking: how a capability that is there falls short, if it does."""
    why = backend.info.remarks.get(capability)
    return {"degraded": why} if why else {}


@dataclass(frozen=True, slots=True)
class Split:
    """A request in tokens: for every continuation the whole sequence and where its scored part starts."""

    sequences: tuple[tuple[int, ...], ...]
    starts: tuple[int, ...]
    shared: int


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the longest common prefix.

    >>> common_prefix([1, 2, 3], [1, 2, 4, 5])
    2
    """
    n = min(len(a), len(b))
    for i in range(n):
        if a[i] != b[i]:
            return i
    return n


def split_tokens(prompt: Sequence[int], sequences: Sequence[Sequence[int]]) -> Split:
    """Find what is scored and what every sequence shares.

    A continuation is scored from where its sequence leaves the prompt's own tokens, so that its score
    does not depend on which other continuations stand beside it; the shared part, which is evaluated
    once, is the prefix of the prompt that all sequences have. At least one token is always left to
    predict from, and the scored part is never empty.

    Raises:
        BackendError: there is no token to predict from, or a continuation adds none.
    """
    starts = []
    for tokens in sequences:
        start = min(common_prefix(prompt, tokens), len(tokens) - 1)
        if tuple(tokens) == tuple(prompt):
            raise BackendError("An empty continuation cannot be scored. Give each candidate a text.")
        if start < 1:
            raise BackendError("A prompt needs at least one token to predict from. Give a non-empty prompt.")
        starts.append(start)
    return Split(tuple(tuple(s) for s in sequences), tuple(starts), min(starts, default=0))


def chunks(sizes: Sequence[int], room: int, most: int | None = None) -> Iterator[list[int]]:
    """Group the places of all sizes above 0, in order, up to `room` in all and `most` places; all if None.

    >>> list(chunks([2, 0, 3, 9, 1, 1], 5, 2))
    [[0, 2], [3], [4, 5]]
    """
    chunk: list[int] = []
    used = 0
    for i, size in enumerate(sizes):
        if size <= 0:
            continue
        if chunk and (used + size > room or len(chunk) == most):
            yield chunk
            chunk, used = [], 0
        chunk.append(i)
        used += size
    if chunk:
        yield chunk
