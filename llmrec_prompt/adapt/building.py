"""Puts together what a stage needs: data in tokens, the network, objectives, validation."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmrec_prompt.adapt.dense import Dense, Lessons
from llmrec_prompt.adapt.encode import Encode
from llmrec_prompt.adapt.histories import Population, Texts
from llmrec_prompt.adapt.network import Network, half, load_base
from llmrec_prompt.adapt.recipe import Recipe, Stage
from llmrec_prompt.adapt.validation import Validation, summary
from llmrec_prompt.adapters import Card
from llmrec_prompt.backends import parse_ref
from llmrec_prompt.backends.hf.loading import Located, locate
from llmrec_prompt.backends.hf.vocabulary import Vocabulary

Curves = dict[str, dict[float, float]]


@dataclass
class Bench:
    """Everything of a stage in one place."""

    base: Located
    network: Network
    sources: list[tuple[Population, Texts]]
    module: Any
    lessons: Any
    exams: list[Validation]
    evaluate: Callable[[], dict[str, float]]

    def curves(self, *, catalogue: bool = False) -> list[Curves]:
        """Validation of every source, by kind of candidates and weight of log-popularity."""
        return [exam.curves(self.network, self.module.encode, catalogue=catalogue) for exam in self.exams]


def build(recipe: Recipe, stage: Stage, start: Path | None) -> Bench:
    """Load base and data.

    Raises:
        DataError: a data set cannot be read or has too few users.
        AdapterError: `start` does not fit the base.
    """
    base = locate(parse_ref(recipe.base))
    if start is not None:
        Card.load(start).check_base(base.digest)
    tokenizer, model = load_base(base.name, precision=recipe.precision, quantise=recipe.lora.quantise)
    vocabulary = Vocabulary(tokenizer)
    network = Network(model, recipe.lora, start=start, base_hash=base.digest)
    sources = []
    for source in stage.sources:
        population = Population(source)
        texts = Texts(
            population.dataset, population.prompter, lambda text, bos: vocabulary.tokenize(text, bos=bos)
        )
        sources.append((population, texts))
    lessons = Lessons(sources, stage, seed=recipe.seed)
    encode = Encode(network, sources, stage)
    if start is not None:
        encode.start_from(Card.load(start).scale)
    module = Dense(network, {"encode": encode}, stage.objectives)
    exams = [Validation(*s, source=i, shown=stage.history) for i, s in enumerate(sources) if s[0].validation]
    bench = Bench(base, network, sources, module, lessons, exams, dict)
    bench.evaluate = lambda: _mean([summary(c) for c in bench.curves()])
    return bench


def autocast(precision: str) -> Any:
    """Where matrices are multiplied in bfloat16."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.autocast(device, torch.bfloat16, enabled=half(precision))


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
