"""Single-token labels: verifying them with the tokenizer, and reading them off one row of logits."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from llmrec_prompt.backends.base import Choice
from llmrec_prompt.errors import BackendError


def single_tokens(tokenize: Callable[[str], list[int]], prompt: str, labels: Sequence[str]) -> list[int]:
    """The one token each label adds to the prompt.

    Raises:
        BackendError: a label adds no or several tokens, changes the prompt's own, or equals another's token.
    """
    base = tokenize(prompt)
    ids = []
    for label in labels:
        tokens = tokenize(prompt + label)
        if tokens[:-1] != base:
            raise BackendError(f"Label {label!r} is not exactly one token after this prompt. Choose another.")
        ids.append(tokens[-1])
    check_distinct(labels, ids)
    return ids


def check_distinct(labels: Sequence[str], tokens: Sequence[int | str]) -> None:
    """Refuse labels of which two are the same token.

    Raises:
        BackendError: as said.
    """
    if len(set(tokens)) != len(labels):
        raise BackendError(f"Two of the labels {list(labels)!r} are the same token. Choose distinct ones.")


def normalise_labels(row: npt.NDArray[np.float32], ids: Sequence[int]) -> Choice:
    """Log-probabilities among the labels, and the share of all probability that the labels hold."""
    wide = row.astype(np.float64)
    wide -= wide.max() + np.log(np.exp(wide - wide.max()).sum())
    chosen = wide[list(ids)]
    mass = float(np.exp(chosen).sum())
    return Choice(tuple(float(v) for v in chosen - np.log(np.exp(chosen).sum())), mass)
