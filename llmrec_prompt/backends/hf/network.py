"""A causal language model cut in two: the body, which makes hidden states, and the head, which reads them.

So that logits, which cost as much as half of a small model, are computed only where one is read. Knows
token ids, no text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from llmrec_prompt.backends.hf.guides import Guide
from llmrec_prompt.errors import BackendError, MissingExtra

try:
    import torch
    from transformers.cache_utils import Cache, DynamicCache, DynamicLayer
except ImportError as error:
    raise MissingExtra("The hf backend", "hf") from error

STEP = 512
LOGIT_BYTES = 128 << 20
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


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


def logits_of(model: Any, states: Any) -> Any:
    """The logits of a causal language model at each state, in single precision."""
    config = model.config.get_text_config()
    scale = getattr(config, "logit_scale", 1.0) / getattr(config, "logits_scaling", 1.0)
    raw = model.get_output_embeddings()(states).float() * scale
    cap: float | None = getattr(config, "final_logit_softcapping", None)
    return raw if cap is None else cap * torch.tanh(raw / cap)


def attention_masks(model: Any, seen: Bools, distance: Ints) -> Any:
    """Who sees whom, in the form that a model with full or sliding attention takes.

    Args:
        model: a causal language model.
        seen: whom a token would see were there no window, (rows, tokens, tokens seen).
        distance: how far back they are, of the same shape.
    """
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    near = seen if window is None else seen & (distance < window)
    kinds = set(getattr(config, "layer_types", None) or ())
    if "sliding_attention" in kinds:
        masks = {"full_attention": seen, "sliding_attention": near}
        return {kind: _mask_tensor(model, masks[kind]) for kind in kinds}
    return _mask_tensor(model, seen if kinds else near)  # of no kinds, all layers are alike


def _mask_tensor(model: Any, seen: Bools) -> Any:
    mask = torch.tensor(seen, device=model.device)[:, None]
    if model.config.get_text_config()._attn_implementation != "eager":
        return mask
    dtype = model.dtype  # eager attention adds the mask to its scores
    return torch.zeros_like(mask, dtype=dtype).masked_fill(~mask, torch.finfo(dtype).min)


class Network:
    """The forward passes that scoring, generating and embedding are made of.

    Raises:
        BackendError: a kind of model whose state cannot be shared, or whose head is of an unknown kind.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.config = model.config.get_text_config()
        kinds = set(getattr(self.config, "layer_types", None) or ())
        if model._is_stateful or not kinds <= {"full_attention", "sliding_attention"}:
            raise BackendError(
                f"Models of type {self.config.model_type!r} have layers whose state cannot be shared. "
                "Choose a model with full or sliding attention only."
            )
        self._body = model.get_decoder()
        self._block = max(1, LOGIT_BYTES // (4 * self.config.vocab_size))
        self._check()

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _check(self) -> None:
        """Two short continuations, scored our way and by the model's own forward."""
        prefix, rows = [1, 2, 3], [[4, 5, 6], [7, 8]]
        try:
            ours = self.score_after(self.prefill(prefix), [(row, 1) for row in rows])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise BackendError(f"Models of type {self.config.model_type!r} are not supported.") from error
        for row, found in zip(rows, ours, strict=True):
            logits = self.model(input_ids=self._tensor([prefix + row]), use_cache=False).logits[0].float()
            wanted = sum(
                float(logits.log_softmax(-1)[len(prefix) + i - 1, row[i]]) for i in range(1, len(row))
            )
            if abs(found - wanted) > 0.02 * max(1.0, abs(wanted)):
                raise BackendError(
                    f"Models of type {self.config.model_type!r} score wrongly: {found:.3f} where their own "
                    f"forward says {wanted:.3f}. Choose another model."
                )

    def _tensor(self, values: Any) -> Any:
        return torch.tensor(values, device=self.model.device)

    def logits(self, states: Any) -> Any:
        """The logits at each state, in single precision."""
        return logits_of(self.model, states)

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
        states = self._side_by_side([tokens[:-1] for tokens, _ in rows], prefix)
        wanted, owners, targets = list[int](), list[int](), list[int]()
        begin = 0
        for i, (tokens, first) in enumerate(rows):
            wanted += range(begin + first - 1, begin + len(tokens) - 1)
            owners += [i] * (len(tokens) - first)
            targets += tokens[first:]
            begin += len(tokens) - 1
        sums = [0.0] * len(rows)
        for i, value in zip(owners, self.log_probabilities(states[wanted], targets), strict=True):
            sums[i] += value
        return sums

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def last_states(self, sequences: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """The hidden state (after the final norm) at the end of each sequence."""
        ends = np.cumsum([len(tokens) for tokens in sequences]) - 1
        array: npt.NDArray[np.float32] = self._side_by_side(sequences)[ends].float().cpu().numpy()
        return array

    def _side_by_side(self, sequences: Sequence[Sequence[int]], prefix: Prefix | None = None) -> Any:
        """States of several sequences that all follow the prefix and do not see each other.

        They lie in one row without padding, each at the positions it would have alone, and the mask keeps
        them apart. Twice as fast on CPU as one padded row each, which copies the prefix for every one.
        """
        begin = 0 if prefix is None else len(prefix.tokens)
        lengths = [len(tokens) for tokens in sequences]
        owners = np.repeat(np.arange(len(lengths)), lengths)
        positions = np.concatenate([np.arange(begin, begin + n) for n in lengths])
        cache = None if prefix is None else Cache(layers=[_SharedLayer(x) for x in prefix.cache.layers])
        states = self._body(
            input_ids=self._tensor([[t for tokens in sequences for t in tokens]]),
            attention_mask=self._mask(owners, positions, begin),
            position_ids=self._tensor(positions)[None],
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state
        return states[0]

    def _mask(self, owners: Ints, positions: Ints, begin: int) -> Any:
        """All see the prefix, and each sequence its own past."""
        seen_owners = np.concatenate([np.full(begin, -1), owners])
        distance = positions[:, None] - np.concatenate([np.arange(begin), positions])
        seen = ((seen_owners == owners[:, None]) | (seen_owners == -1)) & (distance >= 0)
        return attention_masks(self.model, seen[None], distance[None])

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def greedy(
        self, tokens: Sequence[int], ends: frozenset[int], most: int, guide: Guide | None = None
    ) -> list[int]:
        """The likeliest next token that the guide allows, until one of `ends` or `most` of them."""
        prefix = self.prefill(tokens)
        row, answer = prefix.row, list[int]()
        while len(answer) < most:
            allowed = row if guide is None else row.masked_fill(self._tensor(guide.barred()), -torch.inf)
            token = int(allowed.argmax())
            if token in ends:
                break
            if guide is not None:
                guide.follow(token)
            answer.append(token)
            if len(answer) < most:
                row = self.logits(self.step([token], len(tokens) + len(answer) - 1, prefix.cache))
        return answer
