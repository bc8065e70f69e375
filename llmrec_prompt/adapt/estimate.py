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
    tokens: int

    def __str__(self) -> str:
        several = processes.count()
        in_each = f" in each of {several} processes" if several > 1 else ""
        return (
            f"about {self.seconds / 60:.0f} min for {self.examples} training histories, "
            f"{self.tokens_per_step} tokens a step, {self.parameters / 1e6:.2f} M "
            f"trained parameters, {self.gigabytes:.1f} GB{in_each}"
        )


def estimate(bench: Bench, stage: Stage) -> Estimate:
    """Make one step twice without learning from it: the first time its texts are new, then they are kept.

    A stage pays the first price once for every history, and the second for the rest of its steps.
    """
    before = bench.network.tokens
    new, kept = _step(bench), _step(bench)
    tokens = (bench.network.tokens - before) // 2
    count = sum(len(found) for found in bench.lessons.windows)
    first_round = min(stage.steps, -(-count // (stage.batch * processes.count())))
    seconds = first_round * max(new, kept) + (stage.steps - first_round) * kept
    return Estimate(
        seconds=seconds,
        tokens_per_step=tokens,
        gigabytes=_peak(),
        examples=count,
        parameters=sum(p.numel() for _, p in bench.network.trainable),
        tokens=tokens * stage.steps,
    )


def _step(bench: Bench) -> float:
    begin = time.monotonic()
    dice = torch.get_rng_state()
    with autocast("auto"):
        bench.module(bench.lessons[0])["loss"].backward()
    bench.module.zero_grad(set_to_none=True)
    torch.set_rng_state(dice)
    return time.monotonic() - begin


def _peak() -> float:
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated()) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
