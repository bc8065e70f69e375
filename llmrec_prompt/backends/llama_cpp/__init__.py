"""The llama.cpp backend: many continuations of one prompt, the prompt evaluated once.

The high-level `llama_cpp.Llama` cannot do this (one sequence only, logits of every position), so this
stands on the low-level batch interface: sequence 0 keeps the pristine prefix, sequences 1..k share it
and add a continuation each, and logits are computed only where one is read. llama.cpp's own
multiple-choice scorer works on the same principle.
"""

import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from llmrec_prompt.adapters.gguf import Shape, twin_path, write_twin
from llmrec_prompt.backends.base import (
    ALL,
    Choice,
    Message,
    ModelInfo,
    Score,
    ScoreRequest,
    Split,
    Usage,
    Vectors,
    split_tokens,
)
from llmrec_prompt.backends.cores import usable_cores
from llmrec_prompt.backends.labels import normalise_labels, single_tokens
from llmrec_prompt.backends.llama_cpp import chat
from llmrec_prompt.backends.llama_cpp.adapters import Adapters
from llmrec_prompt.backends.llama_cpp.engine import BUILD, Context, Model, Row, Token
from llmrec_prompt.backends.llama_cpp.states import States
from llmrec_prompt.errors import ContextOverflow

BATCH = 512
LOGIT_BYTES = 128 << 20

Exact = Literal["nothing", "scores", "all"]


class LlamaCppBackend:
    """A GGUF model in this process. See `Backend` for what the methods answer.

    Args:
        path: the GGUF file.
        ref: the reference the user gave, for reports.
        model_hash: identity of the weights, for caches and reports.
        context: most tokens of prompt and continuations together in the cache.
        threads: CPU threads; all cores that the process may use when None.
        exact: what has plain attention over single-precision keys and values, so that it depends as little
            as possible on what else is in the batch; costs memory and time. States of `embed` are a quarter
            slower to make then, and within 2e-7 in cosine without.
    """

    def __init__(
        self,
        path: Path,
        *,
        ref: str,
        model_hash: str,
        context: int = 4096,
        threads: int | None = None,
        exact: Exact = "scores",
    ) -> None:
        self._model = Model(path)
        size = min(context, self._model.trained_context)
        threads = threads or usable_cores()
        how = {"batch": BATCH, "threads": threads}
        self._context = Context(self._model, tokens=size, exact=exact != "nothing", **how)
        size = self._context.size
        self.info = ModelInfo(ref, model_hash, "llama_cpp", size, self._model.dimensions, ALL, build=BUILD)
        self.usage = Usage()
        self.adapter: str | None = None
        self.adapter_hash = ""
        self._adapters = Adapters(self._model)
        self._states = States(self._model, tokens=self._context.size, exact=exact == "all", **how)
        # What is not Python's memory would outlive a backend that is merely dropped.
        self._free = weakref.finalize(self, _close_all, self._states, self._context, self._model)
        self._prefix: tuple[int, ...] = ()
        self._prefix_row: Row | None = None
        # A chunk of continuations: enough to fill the cores, small enough that attention over the
        # shared buffer (prefix + all continuations of the chunk) and the logit rows stay cheap.
        self._rows = max(1, min(BATCH, LOGIT_BYTES // (4 * self._model.vocabulary)))

    def score(self, requests: Sequence[ScoreRequest]) -> list[list[Score]]:
        """Score every continuation of every request; see `Backend.score`."""
        return [self._score(r) if r.continuations else [] for r in requests]

    def _score(self, request: ScoreRequest) -> list[Score]:
        tokenize = self._model.tokenize
        prompt = tokenize(request.prompt)
        split = split_tokens(prompt, [tokenize(request.prompt + c) for c in request.continuations])
        longest = max(len(s) for s in split.sequences)
        if longest > self.info.context:
            raise ContextOverflow(longest, self.info.context)
        try:
            sums = self._sums(split)
        except BaseException:  # an interruption, too, may leave a chunk half done
            self._forget()
            raise
        return [
            Score(total, len(tokens) - start)
            for total, tokens, start in zip(sums, split.sequences, split.starts, strict=True)
        ]

    def _sums(self, split: Split) -> list[float]:
        first = self._evaluate_prefix(split.sequences[0][: split.shared])
        sums = [
            log_probability(first, tokens[split.shared]) if start == split.shared else 0.0
            for tokens, start in zip(split.sequences, split.starts, strict=True)
        ]
        for chunk in self._chunks(split):
            self._score_chunk(split, chunk, sums)
        return sums

    def _evaluate_prefix(self, prefix: tuple[int, ...]) -> Row:
        """Make sequence 0 hold exactly `prefix`; return the logits after it.

        Only an identical prefix is reused: extending a shorter one would change the shape of the
        computation, and with it the last bits of the scores.
        """
        if prefix == self._prefix and self._prefix_row is not None:
            self.usage.reused += len(prefix)
            return self._prefix_row
        self._forget()
        self._prefix, self._prefix_row = prefix, self._context.read(prefix).copy()
        self.usage.evaluated += len(prefix)
        return self._prefix_row

    def _chunks(self, split: Split) -> Iterator[list[int]]:
        """Group continuations that still need evaluation, by tokens, logit rows and sequences."""
        room = self.info.context - split.shared
        chunk: list[int] = []
        used = rows = 0
        for i, (tokens, start) in enumerate(zip(split.sequences, split.starts, strict=True)):
            size, outputs = len(tokens) - 1 - split.shared, len(tokens) - max(start, split.shared + 1)
            if size <= 0:
                continue
            full = used + size > min(room, BATCH) or rows + outputs > self._rows
            if chunk and (full or len(chunk) + 1 >= self._context.sequences):
                yield chunk
                chunk, used, rows = [], 0, 0
            chunk.append(i)
            used, rows = used + size, rows + outputs
        if chunk:
            yield chunk

    def _score_chunk(self, split: Split, chunk: list[int], sums: list[float]) -> None:
        batch: list[Token] = []
        wanted: list[tuple[int, int, int]] = []  # (index in the batch, continuation, token to be read)
        for sequence, i in enumerate(chunk, start=1):
            tokens, start = split.sequences[i], split.starts[i]
            self._context.copy(0, sequence)
            for position in range(split.shared, len(tokens) - 1):
                output = position >= start - 1
                if output:
                    wanted.append((len(batch), i, tokens[position + 1]))
                batch.append(Token(tokens[position], position, sequence, output))
        self._decode_in_steps(batch, wanted, sums)
        self._context.drop(range(1, len(chunk) + 1))
        self.usage.evaluated += len(batch)
        self.usage.reused += split.shared * (len(chunk) - 1)

    def _decode_in_steps(
        self, batch: list[Token], wanted: list[tuple[int, int, int]], sums: list[float]
    ) -> None:
        """One decode for almost every chunk; more for a single continuation longer than a batch."""
        step = min(BATCH, self._rows)
        begin = 0
        while begin < len(batch):
            size = BATCH if sum(t.output for t in batch[begin : begin + BATCH]) <= self._rows else step
            self._context.decode(batch[begin : begin + size])
            for index, i, token in wanted:
                if begin <= index < begin + size:
                    sums[i] += log_probability(self._context.logits(index - begin), token)
            begin += size

    def choose(self, prompts: Sequence[str], labels: Sequence[str]) -> list[Choice]:
        """The labels' log-probabilities after each prompt; see `Backend.choose`."""
        return [self._choose(prompt, labels) for prompt in prompts]

    def _choose(self, prompt: str, labels: Sequence[str]) -> Choice:
        tokens = self._model.tokenize(prompt)
        ids = single_tokens(self._model.tokenize, prompt, labels)
        if len(tokens) > self.info.context:
            raise ContextOverflow(len(tokens), self.info.context)
        return normalise_labels(self._evaluate_prefix(tuple(tokens)), ids)

    def generate(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 256,
    ) -> Any:
        """Answer a conversation greedily; see `Backend.generate`."""
        self._forget()
        try:
            return chat.answer(self._model, self._context, self.usage, messages, schema, max_tokens)
        finally:
            self._forget()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The last hidden state at the end of each text; see `Backend.embed`."""
        sequences = [self._model.tokenize(text) for text in texts]
        vectors = self._states.read(sequences)
        self.usage.evaluated += sum(map(len, sequences))
        return vectors

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a plain text, with BOS where the model wants one."""
        return self._model.tokenize(text)

    def count_tokens(self, text: str) -> int:
        """How many tokens the text alone makes."""
        return len(self._model.tokenize(text))

    def use(self, adapter: str | None) -> None:
        """Switch to a PEFT folder or a GGUF LoRA file, or back to the base; the base stays loaded."""
        loaded = None if adapter is None else self._adapters.get(adapter)
        handle = loaded and loaded.handle
        self._context.set_adapter(handle)
        self._states.use(handle)
        self.adapter, self.adapter_hash = adapter, loaded.hash if loaded else ""
        self._adapters.free_replaced()
        self._forget()

    def write_twin(self, folder: Path, out: Path | None = None) -> Path:
        """Write a PEFT folder's LoRA as the GGUF file that llama.cpp loads on this base, or into the cache.

        Raises:
            AdapterError: the adapter or this model is of a kind that cannot be written.
            MissingExtra: the gguf package is not installed.
        """
        shape = Shape.of(self._model.metadata)
        return write_twin(folder, out or twin_path(folder, shape), shape)

    def _forget(self) -> None:
        self._context.clear()
        self._prefix, self._prefix_row = (), None

    def close(self) -> None:
        """Free context and weights; what is dropped without it is freed by the garbage collector."""
        self._free()


def _close_all(*parts: States | Context | Model) -> None:
    for part in parts:
        part.close()


def log_probability(row: Row, token: int) -> float:
    """Log softmax(row)[token], summed in double precision."""
    top = float(row.max())
    return float(row[token]) - top - float(np.log(np.exp(row - top).sum(dtype=np.float64)))
