"""A causal language model cut in two: the body, which makes hidden states, and the head, which reads them.

So that logits, which cost as much as half of a small model, are computed only where one is read. Knows
token ids, no text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from llmrec_prompt.errors import BackendError, MissingExtra

try:
    import torch
    from transformers.cache_utils import Cache, DynamicCache, DynamicLayer
except ImportError as error:
    raise MissingExtra("The hf backend", "hf") from error

STEP = 512
LOGIT_BYTES = 128 << 20
ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}


@dataclass(frozen=True, slots=True)
class Prefix:
    """An evaluated prefix: its tokens, the keys and values of every layer, the log-probabilities after it."""

    tokens: tuple[int, ...]
    cache: Any
    row: Any


class _SharedLayer(DynamicLayer):  # type: ignore[misc]
    """The prefix's keys and values in one layer, seen by every row of a batch and changed by none.

    Nothing is stored on an update, so the prefix is copied a layer at a time, never for all of them
    at once, and is as it was afterwards.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.keys, self.values, self.is_initialized = layer.keys, layer.values, True

    def update(self, keys: Any, values: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        rows = (keys.shape[0], -1, -1, -1)
        return (
            torch.cat([self.keys.expand(rows), keys], dim=-2),
            torch.cat([self.values.expand(rows), values], dim=-2),
        )


class Network:
    """The forward passes that scoring, generating and embedding are made of.

    Raises:
        BackendError: a kind of model whose state cannot be shared, or whose head does more than is known here.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.config = model.config.get_text_config()
        if model._is_stateful or not set(getattr(self.config, "layer_types", None) or ()) <= ATTENTION:
            raise BackendError(
                f"Models of type {self.config.model_type!r} keep a running state, which continuations cannot "
                "share. Choose a model with attention layers only."
            )
        self._body, self._head = model.get_decoder(), model.get_output_embeddings()
        self._softcap: float | None = getattr(self.config, "final_logit_softcapping", None)
        self._block = max(1, LOGIT_BYTES // (4 * self.config.vocab_size))
        self._check_head()

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _check_head(self) -> None:
        tokens = self._tensor([[1, 2, 3]])
        whole = self.model(input_ids=tokens, use_cache=False).logits.float()
        ours = self.logits(self._body(input_ids=tokens, use_cache=False).last_hidden_state)
        if not torch.allclose(whole, ours, rtol=0.01, atol=0.01):
            raise BackendError(f"The output layer of {self.config.model_type!r} models is not supported.")

    def _tensor(self, values: Any) -> Any:
        return torch.tensor(values, device=self.model.device)

    def logits(self, states: Any) -> Any:
        """The logits at each state, in single precision."""
        raw = self._head(states).float()
        return raw if self._softcap is None else self._softcap * torch.tanh(raw / self._softcap)

    def log_probabilities(self, states: Any, tokens: Sequence[int]) -> list[float]:
        """For each state (n, d), the log-probability that its token comes next."""
        wanted, found = self._tensor(tokens), []
        for begin in range(0, len(tokens), self._block):
            logits = self.logits(states[begin : begin + self._block])
            picked = logits.gather(1, wanted[begin : begin + self._block, None])[:, 0]
            found += (picked - logits.logsumexp(1)).tolist()
        return found

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def prefill(self, tokens: Sequence[int]) -> Prefix:
        """Evaluate one sequence, in steps so that attention over a long one stays bounded.

        The cache keeps the whole sequence in sliding-window layers too (the mask does the sliding): the
        cut one that transformers makes by default could not be shared.
        """
        cache = DynamicCache()
        for begin in range(0, len(tokens), STEP):
            state = self.step(tokens[begin : begin + STEP], begin, cache)
        return Prefix(tuple(tokens), cache, self.logits(state[None]).log_softmax(-1)[0])

    def step(self, tokens: Sequence[int], begin: int, cache: Any) -> Any:
        """Push the tokens of one sequence at positions `begin`.. into the cache; the last one's state."""
        end = begin + len(tokens)
        states = self._body(
            input_ids=self._tensor([list(tokens)]),
            attention_mask=torch.ones((1, end), dtype=torch.long, device=self.model.device),
            position_ids=torch.arange(begin, end, device=self.model.device)[None],
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        return states[0, -1]

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def score_after(self, prefix: Prefix, rows: Sequence[tuple[Sequence[int], int]]) -> list[float]:
        """Sum, for each row (tokens, first), the log-probabilities of `tokens[first:]` after the prefix.

        `first` is at least 1; the log-probability of a row's first token stands in the prefix's own row.
        """
        cache = Cache(layers=[_SharedLayer(layer) for layer in prefix.cache.layers])
        states = self._padded([tokens[:-1] for tokens, _ in rows], len(prefix.tokens), cache)
        owners = [(i, p) for i, (tokens, first) in enumerate(rows) for p in range(first, len(tokens))]
        where = self._tensor(owners)
        gathered = states[where[:, 0], where[:, 1] - 1]
        found = self.log_probabilities(gathered, [rows[i][0][p] for i, p in owners])
        sums = [0.0] * len(rows)
        for (i, _), value in zip(owners, found, strict=True):
            sums[i] += value
        return sums

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def last_states(self, sequences: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """The hidden state (after the final norm) at the end of each sequence."""
        states = self._padded(sequences, 0, None)
        ends = self._tensor([len(tokens) - 1 for tokens in sequences])
        picked = states[torch.arange(len(sequences), device=states.device), ends]
        array: npt.NDArray[np.float32] = picked.float().cpu().numpy()
        return array

    def _padded(self, sequences: Sequence[Sequence[int]], begin: int, cache: Any) -> Any:
        """States of right-padded rows at positions `begin`.., which all see what the cache holds."""
        width = max(len(tokens) for tokens in sequences)
        padding = [width - len(tokens) for tokens in sequences]
        mask = [[1] * (begin + width - n) + [0] * n for n in padding]
        positions = torch.arange(begin, begin + width, device=self.model.device)
        return self._body(
            input_ids=self._tensor([[*t, *[0] * n] for t, n in zip(sequences, padding, strict=True)]),
            attention_mask=self._tensor(mask),
            position_ids=positions.expand(len(sequences), -1),
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def greedy(self, tokens: Sequence[int], ends: frozenset[int], most: int) -> list[int]:
        """The likeliest next token, again and again, until one of `ends` or `most` of them."""
        prefix = self.prefill(tokens)
        row, answer = prefix.row, list[int]()
        while len(answer) < most:
            token = int(row.argmax())
            if token in ends:
                break
            answer.append(token)
            if len(answer) < most:
                row = self.logits(self.step([token], len(tokens) + len(answer) - 1, prefix.cache))
        return answer
