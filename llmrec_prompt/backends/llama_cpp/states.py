"""The last hidden states of texts, many side by side.

While it gives states, llama.cpp takes every token for an output and computes the logits of all of them, a
fifth more time. Hence two steps: all tokens but the last ones without any output, then the last ones alone.
They have a context of their own, with flash attention, which is another fifth faster: a state does not feel
its half-precision sums (cosine .999999), as a sum of log-probabilities does.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from llmrec_prompt.backends.base import Vectors, chunks
from llmrec_prompt.backends.llama_cpp.engine import Context, Model, Row, Token
from llmrec_prompt.errors import ContextOverflow


class States:
    """Reads states. The context is made at the first reading.

    Args:
        model: the loaded weights.
        tokens: most tokens of one text.
        batch: most tokens of one evaluation.
        threads: CPU threads.
        exact: whether attention is in single precision.
    """

    def __init__(self, model: Model, *, tokens: int, batch: int, threads: int, exact: bool) -> None:
        self._model, self._size, self._threads = model, tokens, threads
        self._batch = min(batch, tokens)  # llama.cpp takes no larger ones than its context, and aborts
        self._exact = exact
        self._adapter: Any = None
        self._made: Context | None = None

    @property
    def _context(self) -> Context:
        if self._made is None:
            size = {"tokens": self._size, "batch": self._batch, "threads": self._threads}
            self._made = Context(self._model, **size, exact=self._exact)
            self._made.set_adapter(self._adapter)
        return self._made

    def use(self, adapter: Any) -> None:
        """Read under a loaded adapter, or under none."""
        self._adapter = adapter
        if self._made is not None:
            self._made.set_adapter(adapter)

    def read(self, sequences: Sequence[Sequence[int]]) -> Vectors:
        """The state at each sequence's end, shape (len(sequences), dimensions); zeros for an empty one.

        Raises:
            ContextOverflow: one is longer than the context.
        """
        longest = max(map(len, sequences), default=0)
        if longest > self._size:
            raise ContextOverflow(longest, self._size)
        vectors = np.zeros((len(sequences), self._model.dimensions), np.float32)
        if not longest:
            return vectors
        for chunk in chunks([len(tokens) for tokens in sequences], self._batch, self._context.sequences):
            vectors[chunk] = self._side_by_side([sequences[i] for i in chunk])
        return vectors

    def _side_by_side(self, sequences: list[Sequence[int]]) -> list[Row]:
        context = self._context
        before = [Token(t, p, s, False) for s, x in enumerate(sequences) for p, t in enumerate(x[:-1])]
        last = [Token(x[-1], len(x) - 1, s, True) for s, x in enumerate(sequences)]
        context.clear()
        for begin in range(0, len(before), self._batch):
            context.decode(before[begin : begin + self._batch])
        context.want_states(True)
        try:
            context.decode(last)
            return [context.state(i) for i in range(len(last))]
        finally:
            context.want_states(False)

    def close(self) -> None:
        """Free the context."""
        if self._made is not None:
            self._made.close()
            self._made = None
