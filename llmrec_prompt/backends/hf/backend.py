"""The transformers backend: every continuation of a prompt scored on the prompt's own KV cache."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
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
    chunks,
    split_tokens,
)
from llmrec_prompt.backends.chat import conversation_tokens, parse_object
from llmrec_prompt.backends.hf.adapters import Adapters
from llmrec_prompt.backends.hf.guides import Guides
from llmrec_prompt.backends.hf.network import Network, Prefix
from llmrec_prompt.backends.hf.vocabulary import Vocabulary
from llmrec_prompt.backends.labels import normalise_labels, single_tokens
from llmrec_prompt.errors import ContextOverflow

CHUNK_TOKENS = 512
"""Evaluated at once: they fill the cores."""


class HfBackend:
    """A transformers model in this process. See `Backend` for what the methods answer.

    Args:
        tokenizer: its tokenizer.
        model: a causal language model, on its device.
        ref: the reference the user gave, for reports.
        model_hash: identity of the weights, for caches and reports.
        context: most tokens of one prompt with a continuation.
    """

    def __init__(self, tokenizer: Any, model: Any, *, ref: str, model_hash: str, context: int = 4096) -> None:
        self._network = Network(model)
        config = self._network.config
        ends = model.generation_config.eos_token_id if model.generation_config else None
        self._vocabulary = Vocabulary(tokenizer, [ends] if isinstance(ends, int) else ends or ())
        self._guides = Guides(tokenizer, self._vocabulary.ends, config.vocab_size)
        self._adapters = Adapters(model)
        context = min(context, getattr(config, "max_position_embeddings", context))
        size, build = config.hidden_size, version("transformers")
        self.info = ModelInfo(ref, model_hash, "hf", context, size, ALL, build=build)
        self.usage = Usage()
        self.adapter: str | None = None
        self.adapter_hash = ""
        self._prefix: Prefix | None = None

    def score(self, requests: Sequence[ScoreRequest]) -> list[list[Score]]:
        """Score every continuation of every request; see `Backend.score`."""
        return [self._score(r) if r.continuations else [] for r in requests]

    def _score(self, request: ScoreRequest) -> list[Score]:
        prompt, *sequences = self._vocabulary.tokenize_all(
            [request.prompt, *(request.prompt + c for c in request.continuations)]
        )
        split = split_tokens(prompt, sequences)
        self._check_length(max(len(s) for s in split.sequences))
        prefix = self._evaluate_prefix(split.sequences[0][: split.shared])
        # Every continuation's first token after the shared prefix stands in the prefix's own row.
        firsts = prefix.row[[tokens[split.shared] for tokens in split.sequences]].tolist()
        sums = [
            first if start == split.shared else 0.0 for first, start in zip(firsts, split.starts, strict=True)
        ]
        sizes = [len(tokens) - 1 - split.shared for tokens in split.sequences]
        for chunk in chunks(sizes, CHUNK_TOKENS):
            rows = [
                (split.sequences[i][split.shared :], max(1, split.starts[i] - split.shared)) for i in chunk
            ]
            for i, value in zip(chunk, self._network.score_after(prefix, rows), strict=True):
                sums[i] += value
            self.usage.evaluated += sum(len(tokens) - 1 for tokens, _ in rows)
            self.usage.reused += split.shared * (len(chunk) - 1)
        return [
            Score(total, len(tokens) - start)
            for total, tokens, start in zip(sums, split.sequences, split.starts, strict=True)
        ]

    def _check_length(self, tokens: int) -> None:
        if tokens > self.info.context:
            raise ContextOverflow(tokens, self.info.context)

    def _evaluate_prefix(self, tokens: Sequence[int]) -> Prefix:
        """Evaluate a prefix, unless it is the very one that was evaluated last."""
        if self._prefix is not None and self._prefix.tokens == tuple(tokens):
            self.usage.reused += len(tokens)
            return self._prefix
        self._prefix = None  # freed before the next is made
        self._prefix = self._network.prefill(tokens)
        self.usage.evaluated += len(tokens)
        return self._prefix

    def choose(self, prompts: Sequence[str], labels: Sequence[str]) -> list[Choice]:
        """The labels' log-probabilities after each prompt; see `Backend.choose`."""
        return [self._choose(prompt, labels) for prompt in prompts]

    def _choose(self, prompt: str, labels: Sequence[str]) -> Choice:
        ids = single_tokens(self._vocabulary.tokenize, prompt, labels)
        tokens = self._vocabulary.tokenize(prompt)
        self._check_length(len(tokens))
        return normalise_labels(self._evaluate_prefix(tokens).row.cpu().numpy(), ids)

    def generate(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 256,
    ) -> Any:
        """Answer a conversation greedily; see `Backend.generate`."""
        tokens = conversation_tokens(self._vocabulary.template, messages, self._vocabulary.tokenize)
        self._check_length(len(tokens) + max_tokens)
        guide = None if schema is None else self._guides.of(schema)
        answer = self._network.greedy(tokens, self._vocabulary.ends, max_tokens, guide)
        self.usage.evaluated += len(tokens) + len(answer)
        text = self._vocabulary.text(answer).strip()
        return text if schema is None else parse_object(text, max_tokens)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The last hidden state at the end of each text; see `Backend.embed`."""
        vectors = np.zeros((len(texts), self.info.dimensions), np.float32)
        sequences = self._vocabulary.tokenize_all(texts)
        self._check_length(max((len(tokens) for tokens in sequences), default=0))
        for chunk in chunks([len(tokens) for tokens in sequences], CHUNK_TOKENS):
            vectors[chunk] = self._network.last_states([sequences[i] for i in chunk])
            self.usage.evaluated += sum(len(sequences[i]) for i in chunk)
        return vectors

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a plain text, with BOS where the model wants one."""
        return self._vocabulary.tokenize(text)

    def count_tokens(self, text: str) -> int:
        """How many tokens the text alone makes."""
        return len(self._vocabulary.tokenize(text))

    def use(self, adapter: str | None) -> None:
        """Switch to a PEFT folder or back to the base; the base stays loaded."""
        self.adapter_hash = self._adapters.use(adapter)
        self.adapter = adapter
        self._prefix = None

    def close(self) -> None:
        """Let go of weights and cache."""
        self._prefix = None
        del self._network, self._adapters
