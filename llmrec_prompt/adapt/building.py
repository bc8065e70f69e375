"""Puts together what a stage needs: data in tokens, the network, objectives, validation."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmrec_prompt.adapt import processes
from llmrec_prompt.adapt.dense import Lessons
from llmrec_prompt.adapt.families import Course, Ground, course
from llmrec_prompt.adapt.histories import Population, Texts
from llmrec_prompt.adapt.network import Network, half, load_base
from llmrec_prompt.adapt.recipe import Recipe, Stage
from llmrec_prompt.adapt.validation import QUESTIONS, Curves, Validation, summary
from llmrec_prompt.adapters import Card
from llmrec_prompt.backends import parse_ref
from llmrec_prompt.backends.hf.loading import Located, locate
from llmrec_prompt.backends.hf.vocabulary import Vocabulary


@dataclass
class Bench:
    """Everything of a stage in one place."""

    base: Located
    network: Network
    sources: list[tuple[Population, Texts]]
    course: Course
    exams: list[Validation]
    """The last item of every validation user."""
    settling: Callable[[], list[Validation]]
    """Their last items, `QUESTIONS` of each, to choose focus and weights by."""

    @functools.cached_property
    def lessons(self) -> Lessons:
        """What it is trained on; cut from the histories on first use."""
        return self.course.lessons()

    def curves(self) -> list[Curves]:
        """Validation of every source, by kind of candidates and weight of log-popularity."""
        return [self.course.judge(exam, None) for exam in self.exams]

    @property
    def evaluate(self) -> Callable[[], dict[str, float]] | None:
        """Gives the metrics of the weights as they are; None where nobody is left to validate on."""
        return (lambda: _mean([summary(c) for c in self.curves()])) if self.exams else None


def build(
    recipe: Recipe, stage: Stage, start: Path | None, people: Sequence[Population] | None = None
) -> Bench:
    """Load the base, and the data where it is not given, and lay out what is to be learnt.

    Args:
        recipe: says which base and what to train of it.
        stage: what to learn from.
        start: the folder of an adapter to go on from.
        people: `populations(stage)` for who has them already.

    Raises:
        DataError: a data set cannot be read or has too few users.
        AdapterError: `start` does not fit the base or the recipe.
        BackendError: the base cannot answer as an objective asks.
    """
    base = locate(parse_ref(recipe.base))
    card = Card.load(start) if start is not None else None
    if card is not None:
        card.check_base(base.digest)
    tokenizer, model = load_base(base.name, precision=recipe.precision, quantise=recipe.lora.quantise)
    network = Network(model, recipe.lora, start=start, base_hash=base.digest)
    sources = _sources(people or populations(stage), Vocabulary(tokenizer))
    every = stage.model_copy(update={"steps": stage.steps * processes.count()})  # a step is a lesson for each
    ground = Ground(every, recipe.seed, network, tokenizer, sources, card)
    asked = functools.partial(exams, sources, stage)
    return Bench(base, network, sources, course(ground), asked(), lambda: asked(QUESTIONS))


def exams(sources: list[tuple[Population, Texts]], stage: Stage, questions: int = 1) -> list[Validation]:
    """The validation users of each source that has some, `questions` of each."""
    depth = {"shown": stage.history, "reach": stage.reach, "questions": questions}
    return [
        Validation(people, texts, source=i, **depth)
        for i, (people, texts) in enumerate(sources)
        if people.validation
    ]


def populations(stage: Stage) -> list[Population]:
    """The users of each source.

    Raises:
        DataError: a data set cannot be read or has too few users.
        UnknownName: there is no such domain.
        TemplateError: a domain cannot be rendered.
    """
    return [Population(source, logs="catalogue" not in stage.objectives) for source in stage.sources]


def _sources(people: Sequence[Population], vocabulary: Vocabulary) -> list[tuple[Population, Texts]]:
    def tokenize(text: str, bos: bool) -> list[int]:
        return vocabulary.tokenize(text, bos=bos)

    return [(each, Texts(each.dataset, each.prompter, tokenize)) for each in people]


def autocast(precision: str) -> Any:
    """Where matrices are multiplied in bfloat16."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.autocast(device, torch.bfloat16, enabled=half(precision))


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
