"""Answers kept to a JSON schema: which tokens may come next, by llguidance.

Every value has one spelling (`, ` and `: ` between, no line breaks), as in `backends/grammar.py`. Where
the schema leaves no choice the tokenizer's own tokens come next, in llama.cpp the likeliest that fits: the
same weights may go on differently.
"""

import functools
from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import numpy.typing as npt

from llmrec_prompt.errors import BackendError, MissingExtra

SPELLING: Any = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}


class Guides:
    """Makes guides for one vocabulary.

    Args:
        tokenizer: a fast transformers tokenizer.
        ends: the tokens that end an answer.
        size: how many logits the model has.
    """

    def __init__(self, tokenizer: Any, ends: Set[int], size: int) -> None:
        self._tokenizer, self._ends, self._size = tokenizer, sorted(ends), size

    @functools.cached_property
    def _vocabulary(self) -> Any:
        """A second for a large vocabulary, so only made when a schema is first asked for."""
        from llguidance.hf import from_tokenizer

        return from_tokenizer(self._tokenizer, n_vocab=self._size, eos_token=self._ends)

    def of(self, schema: Mapping[str, Any]) -> "Guide":
        """A guide for one answer.

        Raises:
            BackendError: the schema cannot be kept to.
            MissingExtra: llguidance is not installed.
        """
        try:
            from llguidance import LLMatcher
        except ImportError as error:
            raise MissingExtra("Keeping an answer of the hf backend to a JSON schema", "hf") from error
        grammar = LLMatcher.grammar_from_json_schema(dict(schema), overrides=SPELLING)
        return Guide(LLMatcher(self._vocabulary, grammar, log_level=0))


class Guide:
    """Follows one answer, token by token.

    Raises:
        BackendError: from any method, what llguidance found wrong.
    """

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher
        self._check()

    def barred(self) -> npt.NDArray[np.bool_]:
        """Which tokens may not come next: a boolean for each logit."""
        bias: npt.NDArray[np.uint8] = np.frombuffer(self._matcher.compute_logit_bias(), np.uint8)
        self._check()
        barred: npt.NDArray[np.bool_] = bias == 0
        return barred

    def follow(self, token: int) -> None:
        """Take note of the token that came."""
        self._matcher.consume_token(token)
        self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            why = str(self._matcher.get_error()).strip().splitlines()[0]
            raise BackendError(f"The answer cannot be kept to the JSON schema: {why}.")
