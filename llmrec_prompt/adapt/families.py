"""From a stage's objectives to what is trained, on what, and how it is judged: a builder for each family."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llmrec_prompt.adapt.dense import Dense, Lessons
from llmrec_prompt.adapt.encode import Encode
from llmrec_prompt.adapt.histories import (
    Population,
    Texts,
    Window,
    positions,
    scrambled,
    shuffled,
    windows,
)
from llmrec_prompt.adapt.judging import Judge, by_answers, by_likelihood, by_states
from llmrec_prompt.adapt.network import Network
from llmrec_prompt.adapt.objectives.adversarial import Adversarial
from llmrec_prompt.adapt.objectives.answers import Label, YesNo
from llmrec_prompt.adapt.objectives.catalogue import pseudo_histories
from llmrec_prompt.adapt.objectives.next_item import NextItem, spelt_out
from llmrec_prompt.adapt.objectives.predictive import Predictive
from llmrec_prompt.adapt.objectives.rank import Rank
from llmrec_prompt.adapt.questions import Asking, Draw
from llmrec_prompt.adapt.recipe import SPAN, Stage
from llmrec_prompt.adapters import Card


@dataclass(frozen=True, slots=True)
class Ground:
    """What all families are built on."""

    stage: Stage
    seed: int
    network: Network
    tokenizer: Any
    sources: list[tuple[Population, Texts]]
    start: Card | None = None
    """Of the adapter that is trained on: its temperatures."""


@dataclass(frozen=True, slots=True)
class Course:
    """What is trained, on what, how it is judged, and for which ranking mode."""

    module: Any
    lessons: Callable[[], Lessons]
    """Cuts the histories when it is called: whoever only judges need not wait for all of them."""
    mode: str
    judge: Judge
    reader: Encode | None = None
    """What reads items in mode `encoder`."""


def course(ground: Ground) -> Course:
    """The course of a stage.

    Raises:
        DataError: a source gives nothing to learn from; this and the next are said by `lessons`.
        TemplateError: a template cannot be trained on.
        BackendError: an answer is not one token for this model.
    """
    if "catalogue" in ground.stage.objectives:
        return _catalogue(ground)
    return _span(ground) if set(ground.stage.objectives) & set(SPAN) else _dense(ground)


def _encode(ground: Ground) -> Encode:
    encode = Encode(ground.network, ground.sources)
    if ground.start is not None:
        encode.start_from(ground.start.scale, ground.start.near, ground.start.focus)
    return encode


def _lessons(ground: Ground, histories: Callable[[Ground], list[list[Window]]]) -> Callable[[], Lessons]:
    given = [population.source for population, _ in ground.sources]
    return lambda: Lessons(histories(ground), given, ground.stage, seed=ground.seed)


def _dense(ground: Ground) -> Course:
    """Objectives on the states of whole histories; an encoder unless likelihoods alone are trained."""
    stage, network = ground.stage, ground.network
    lessons = _lessons(ground, _histories)
    width, reader = network.model.config.hidden_size, _encode(ground)
    makers: dict[str, Callable[[], Any]] = {
        "encode": lambda: reader,
        "next_item": lambda: NextItem(network),
        "predictive": lambda: Predictive(width, network.device),
        "adversarial": lambda: Adversarial(width, len(ground.sources), stage.steps, network.device),
    }
    objectives = {name: makers[name]() for name in stage.objectives}
    labelled = [population.source.labelled for population, _ in ground.sources]
    module = Dense(network, objectives, stage.objectives, labelled)
    if "next_item" in objectives and "encode" not in objectives:
        return Course(module, lessons, "likelihood", _by_likelihood(ground))
    return Course(module, lessons, "encoder", by_states(network, reader), reader)


def _histories(ground: Ground) -> list[list[Window]]:
    """Windows of every source, in the form that the objectives need."""
    stage = ground.stage
    found = [windows(*source, stage.history, stage.reach) for source in ground.sources]
    if stage.shuffle_targets:
        inside = {"next_item", "predictive"} & set(stage.objectives)  # their targets stand in the history
        found = [
            scrambled(own, texts, ground.seed) if inside else shuffled(own, ground.seed)
            for own, (_, texts) in zip(found, ground.sources, strict=True)
        ]
    if "next_item" in stage.objectives:
        pairs = zip(found, ground.sources, strict=True)
        found = [[spelt_out(window, texts) for window in own] for own, (_, texts) in pairs]
    return found


def _span(ground: Ground) -> Course:
    """An objective that asks after a prompt, a question for every item of a history."""
    stage, network = ground.stage, ground.network
    texts = [texts for _, texts in ground.sources]
    draws = [Draw(population, stage.candidates, ground.seed) for population, _ in ground.sources]
    lessons = _lessons(ground, _questions)
    (name,) = stage.objectives
    if name == "rank":
        module = Asking(network, Rank(network, texts), draws)
        return Course(module, lessons, "likelihood", _by_likelihood(ground))
    objective = {"yes_no": YesNo, "label": Label}[name](network, texts)
    return Course(Asking(network, objective, draws), lessons, name, by_answers(objective, stage.history))


def _questions(ground: Ground) -> list[list[Window]]:
    """One for every item of every history but the first."""
    found = [positions(*source, ground.stage.history) for source in ground.sources]
    return [shuffled(own, ground.seed) for own in found] if ground.stage.shuffle_targets else found


def _by_likelihood(ground: Ground) -> Judge:
    return by_likelihood(ground.network, ground.tokenizer, [population for population, _ in ground.sources])


def _catalogue(ground: Ground) -> Course:
    """`encode` on walks through the catalogue."""
    network, encode = ground.network, _encode(ground)
    module = Dense(network, {"encode": encode}, {"encode": ground.stage.objectives["catalogue"]})
    return Course(module, _lessons(ground, _walks), "encoder", by_states(network, encode), encode)


def _walks(ground: Ground) -> list[list[Window]]:
    """Histories that nobody had, enough for every step."""
    stage = ground.stage
    found = [
        pseudo_histories(*source, size=stage.history, most=stage.steps * stage.batch, seed=ground.seed)
        for source in ground.sources
    ]
    return [shuffled(own, ground.seed) for own in found] if stage.shuffle_targets else found
