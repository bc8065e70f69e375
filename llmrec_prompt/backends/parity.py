"""Whether an adapter says the same through llama.cpp as through peft, on a few prompts.

Both engines load the same GGUF file (transformers takes it apart), so what differs is rounding: llama.cpp
rounds activations where weights are below single precision. How much that is, the base alone shows; an
adapter may differ by little more, and by far less than it changes the base's own scores.
"""

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from llmrec_prompt.backends.base import Backend, ScoreRequest, Vectors
from llmrec_prompt.errors import AdapterError

Array = npt.NDArray[np.float64]
TITLES = (
    "The Matrix", "Emma", "A Brief History of Time", "Tea towel, blue", "Hotel Miramar", "Toy Story 2",
    "Der Zauberberg", "Wireless headphones with noise cancelling", "Macbeth", "Local news at ten",
)  # fmt: skip
REQUESTS = tuple(
    ScoreRequest(heading + "".join(f"{title}\n" for title in shown), [f"{title}\n" for title in TITLES])
    for heading, shown in (
        ("Movies that a viewer watched, in order:\n", ("Heat", "Alien", "Blade Runner")),
        ("Books that a reader read, in order:\n", ("Dune", "Persuasion")),
        ("Products that a customer bought, in order:\n", ("Cake tins, pantry design", "Candle, red")),
        ("A visitor's choices:\n", ()),
    )
)


@dataclass(frozen=True, slots=True)
class Parity:
    """What two engines make of one adapter; scores in nats, states as cosines."""

    score_gap: float
    """Largest difference of a score between the engines, adapter in force."""
    base_gap: float
    """The same without adapter: the engines' own rounding."""
    effect: float
    """Largest difference the adapter itself makes to a score, in peft."""
    cosine: float
    """Lowest cosine between the engines' states, adapter in force."""
    base_cosine: float
    tolerance: float
    """What `score_gap` may be."""
    least_cosine: float
    """What `cosine` must be."""

    @property
    def ok(self) -> bool:
        """Whether both are within their bounds."""
        return self.score_gap <= self.tolerance and self.cosine >= self.least_cosine

    def as_dict(self) -> dict[str, float | bool]:
        """For JSON."""
        return {**asdict(self), "ok": self.ok}

    def require(self) -> None:
        """See that the engines agree.

        Raises:
            AdapterError: they do not.
        """
        if not self.ok:
            raise AdapterError(
                f"llama.cpp and peft differ on this adapter: a score by {self.score_gap:.3f} nats (allowed "
                f"{self.tolerance:.3f}), a state's cosine is {self.cosine:.5f} (at least "
                f"{self.least_cosine:.5f}). Serve it through the hf backend."
            )


def compare(llama: Backend, hf: Backend, twin: str, folder: str) -> Parity:
    """Score the same lines and embed the same prompts in both engines, without the adapter and with it.

    A score may differ by twice what the bases differ by, or by 0.05 nats if that is more; one minus a
    cosine by three times what it is for the bases, or by 0.0005. Both backends are left without an adapter.

    Args:
        llama: llama.cpp on a GGUF file.
        hf: transformers on the same file.
        twin: the adapter as a GGUF file.
        folder: the adapter as a PEFT folder.
    """
    try:
        base_ours, base_states = _answers(llama, None)
        base_theirs, base_expected = _answers(hf, None)
        ours, states = _answers(llama, twin)
        theirs, expected = _answers(hf, folder)
    finally:
        llama.use(None)
        hf.use(None)
    base_gap, base_cosine = _gap(base_ours, base_theirs), _least_cosine(base_states, base_expected)
    return Parity(
        score_gap=_gap(ours, theirs),
        base_gap=base_gap,
        effect=_gap(theirs, base_theirs),
        cosine=_least_cosine(states, expected),
        base_cosine=base_cosine,
        tolerance=max(0.05, 2 * base_gap),
        least_cosine=1 - max(0.0005, 3 * (1 - base_cosine)),
    )


def _answers(backend: Backend, adapter: str | None) -> tuple[Array, Vectors]:
    backend.use(adapter)
    scores = [[score.logprob for score in row] for row in backend.score(REQUESTS)]
    return np.array(scores), backend.embed([request.prompt for request in REQUESTS])


def _gap(a: Array, b: Array) -> float:
    return float(np.abs(a - b).max())


def _least_cosine(a: Vectors, b: Vectors) -> float:
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(((x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)).min())
