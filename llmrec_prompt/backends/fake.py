"""A backend without a model, for tests, docs and dry runs: a plain function scores.

`fake:constant` scores all alike, `fake:random` by a hash, `fake:overlap` by shared words, and
`fake:oracle:DATA` knows each user's last item in a data set. The oracle must reach 1.0 and the constant
must reach chance through the whole pipeline; that is how the pipeline itself is tested.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from llmrec_prompt.backends.base import (
    ALL,
    Choice,
    Message,
    ModelInfo,
    Score,
    ScoreRequest,
    Usage,
    Vectors,
)
from llmrec_prompt.backends.labels import check_distinct
from llmrec_prompt.backends.models import adapter_identity
from llmrec_prompt.errors import BackendError, ContextOverflow, UnknownName

Scorer = Callable[[str, str], float]
"""(prompt, continuation) → log-probability."""

DIMENSIONS = 64


class FakeBackend:
    """Answers the whole protocol from one function. A token is a white-space separated word.

    >>> FakeBackend(lambda prompt, text: -len(text)).score([ScoreRequest("a", ["b", "cc"])])[0][1].logprob
    -2.0
    """

    def __init__(
        self, scorer: Scorer, *, name: str = "function", context: int = 4096, answer: Any = "fake"
    ) -> None:
        self._scorer, self._answer = scorer, answer
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        self.info = ModelInfo(f"fake:{name}", digest, "fake", context, DIMENSIONS, ALL)
        self.usage = Usage()
        self.adapter: str | None = None
        self.adapter_hash = ""

    @classmethod
    def from_name(cls, name: str, *, context: int = 4096) -> "FakeBackend":
        """Make one of the named fakes.

        Raises:
            UnknownName: no fake of this name.
        """
        kind, _, argument = name.partition(":")
        if kind == "oracle" and argument:
            return cls(oracle(argument), name=name, context=context)
        if kind not in SCORERS or argument:
            raise UnknownName(
                "fake model", f"fake:{name}", [*(f"fake:{n}" for n in SCORERS), "fake:oracle:DATA"]
            )
        return cls(SCORERS[kind], name=name, context=context)

    def score(self, requests: Sequence[ScoreRequest]) -> list[list[Score]]:
        """Score by the function; see `Backend.score`."""
        return [[self._score(r.prompt, text) for text in r.continuations] for r in requests]

    def _score(self, prompt: str, continuation: str) -> Score:
        tokens = self.count_tokens(continuation)
        if not continuation:
            raise BackendError("An empty continuation cannot be scored. Give each candidate a text.")
        if not prompt:
            raise BackendError("A prompt needs at least one token to predict from. Give a non-empty prompt.")
        if self.count_tokens(prompt) + tokens > self.info.context:
            raise ContextOverflow(self.count_tokens(prompt) + tokens, self.info.context)
        self.usage.evaluated += tokens
        return Score(float(self._scorer(prompt, continuation)), max(1, tokens))

    def choose(self, prompts: Sequence[str], labels: Sequence[str]) -> list[Choice]:
        """Softmax of the function over the labels; see `Backend.choose`."""
        for label in labels:
            if len(label.split()) != 1:
                raise BackendError(f"Label {label!r} is not exactly one token (a word). Choose another.")
        check_distinct(labels, labels)
        choices = []
        for prompt in prompts:
            raw = np.array([self._scorer(prompt, label) for label in labels], np.float64)
            log_total = float(np.logaddexp.reduce(raw))
            choices.append(
                Choice(tuple(float(v) for v in raw - log_total), min(1.0, float(np.exp(log_total))))
            )
        return choices

    def generate(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 256,
    ) -> Any:
        """The fixed answer; a callable is called with the messages."""
        return self._answer(messages) if callable(self._answer) else self._answer

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Hashed bags of words: texts that share words are near each other."""
        vectors = np.zeros((len(texts), DIMENSIONS), np.float32)
        for row, text in enumerate(texts):
            for word in text.casefold().split():
                vectors[row, int(hashlib.sha256(word.encode()).hexdigest(), 16) % DIMENSIONS] += 1
        return vectors

    def count_tokens(self, text: str) -> int:
        """White-space separated words."""
        return len(text.split())

    def use(self, adapter: str | None) -> None:
        """Remember the adapter; the function decides what to make of it."""
        self.adapter, self.adapter_hash = adapter, adapter_identity(adapter)

    def close(self) -> None:
        """Nothing to free."""


def _hashed(prompt: str, continuation: str) -> float:
    digest = hashlib.sha256(f"{prompt}\0{continuation}".encode()).digest()
    return -1.0 - int.from_bytes(digest[:4], "big") / 2**32


def _overlap(prompt: str, continuation: str) -> float:
    words = set(continuation.casefold().split())
    return float(len(words & set(prompt.casefold().split()))) - len(words) - 1.0


SCORERS: dict[str, Scorer] = {"constant": lambda prompt, text: -1.0, "overlap": _overlap, "random": _hashed}


def oracle(data: str) -> Scorer:
    """A scorer that knows which line comes last for the history that a prompt shows.

    It finds the user by the last lines of the prompt: whoever's lines before the last end in just these.
    Lines are those of the data set's own domain.
    """
    from llmrec_prompt.data import Dataset
    from llmrec_prompt.templates import Prompter, load_domain

    dataset = Dataset.load(data)
    prompter = Prompter(load_domain(dataset.domain), catalogue=dataset.items)
    line_of = {item.item_id: prompter.line(item) for item in dataset.items}
    endings: dict[str, list[tuple[list[str], str]]] = {}
    for user in dataset.users:
        lines = [line_of[seen.item_id] for seen in dataset.history(user)]
        if len(lines) > 1:
            endings.setdefault(lines[-2], []).append((lines[:-1], lines[-1]))

    def score(prompt: str, continuation: str) -> float:
        shown = prompt.rstrip("\n").split("\n")[1:]
        known = endings.get(shown[-1], []) if shown else []
        answers = {last for seen, last in known if seen[-len(shown) :] == shown[-len(seen) :]}
        return -1.0 if continuation.rstrip("\n") in answers else -10.0

    return score
