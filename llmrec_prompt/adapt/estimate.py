"""How long a stage will take and how much memory, from steps that are really made."""

import resource
import sys
import time
from dataclasses import dataclass

import torch

from llmrec_prompt.adapt import processes
from llmrec_prompt.adapt.building import Bench, autocast
from llmrec_prompt.adapt.recipe import Stage


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds of training alone, tokens of a step, gigabytes at the peak so far, and how much is learnt."""

    seconds: float
    tokens_per_step: int
    gigabytes: float
    examples: int
    parameters: int

    def __str__(self) -> str:
        several = processes.count()
        in_each = f" in each of {several} processes" if several > 1 else ""
        return (
            f"about {self.seconds / 60:.0f} min for {self.examples} training histories, "
            f"{self.tokens_per_step} tokens a step, {self.parameters / 1e6:.2f} M "
            f"trained parameters, {self.gigabytes:.1f} GB{in_each}"
        )


def estimate(bench: Bench, stage: Stage, precision: str) -> Estimate:
    """Make steps without learning from them: one to warm up, one whose texts are new, and the same again.

    Where lower states are kept, a stage pays the price of new texts once for every history, and the other
    one for the rest of its steps; where nothing is kept, every step costs the same.
    """
    _step(bench, 0, precision)
    before, lesson = bench.network.tokens, min(1, len(bench.lessons) - 1)
    new = _step(bench, lesson, precision)
    tokens = bench.network.tokens - before
    kept = _step(bench, lesson, precision) if bench.network.first else new
    count = sum(len(found) for found in bench.lessons.windows)
    first_round = min(stage.steps, -(-count // (stage.batch * processes.count())))
    seconds = first_round * max(new, kept) + (stage.steps - first_round) * kept
    return Estimate(
        seconds=seconds,
        tokens_per_step=tokens,
        gigabytes=_peak(),
        examples=count,
        parameters=sum(p.numel() for _, p in bench.network.trainable),
    )


def _step(bench: Bench, lesson: int, precision: str) -> float:
    """Seconds of a step."""
    begin = _now()
    dice = torch.get_rng_state()
    with autocast(precision):
        loss = bench.course.module(bench.lessons[lesson])["loss"]
    loss.backward()
    bench.course.module.zero_grad(set_to_none=True)
    torch.set_rng_state(dice)
    return _now() - begin


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()  # a GPU works on after it was asked
    return time.monotonic()


def _peak() -> float:
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated()) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
