"""`llmrec adapt compare`: every method on the same shots, tested on the same users; resumable.

The tested users, their histories and candidates are those of `llmrec eval run --users N --seed 0`, for any
seed of the suite (which is that of training and of networks). Popularity-drawn negatives are drawn there from
all users' logs but the targets; the methods themselves know the logs of their shots and nothing else.
"""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from llmrec_prompt import __version__
from llmrec_prompt.adapt.compare.report import ANY, summarise, write_report
from llmrec_prompt.adapt.compare.rows import run_methods
from llmrec_prompt.adapt.compare.setting import Announce, Setting
from llmrec_prompt.adapt.compare.suite import Shots, Suite
from llmrec_prompt.adapt.histories import Population
from llmrec_prompt.adapt.recipe import Recipe
from llmrec_prompt.adapters import Adapter, Card, find, overlap
from llmrec_prompt.backends import Backend, load_backend
from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.evaluate.exam import Exam
from llmrec_prompt.evaluate.protocols import Ask, make_exam
from llmrec_prompt.evaluate.run import Row, RunDirectory
from llmrec_prompt.rank.identity import code_fingerprint, data_facts


def compare(
    suite: Suite, *, out: Path | None = None, resume: bool = False, announce: Announce | None = None
) -> dict[str, Any]:
    """Run a suite, or the rest of it, and report; see `report.py` for what comes out.

    Args:
        suite: what to compare.
        out: the run's folder; `runs/compare/NAME` if None.
        resume: go on with a run that is there, of the same or of other methods, shots and draws.
        announce: is told the estimated time and memory of a training before it starts.

    Raises:
        ConfigError: the folder holds another run, or one and `resume` is not set; another process is at work
            in it; the target has too few users for the shots; an adapter saw users that it must not have
            seen; none of the methods can do with so few shots.
        DataError: the data does not allow it.
        AdapterError: an adapter does not fit the model or the templates.
        UnknownName: there is no such model, adapter or domain.
    """
    data = Dataset.load(suite.data)
    draws = [_populations(suite, data, draw) for draw in range(suite.draws)]
    target = draws[0][0]
    exams = make_exams(suite, target)
    backend = load_backend(suite.model)
    given = _named(suite, backend, target)
    folder = out or Path("runs/compare") / suite.name
    run = RunDirectory.start(folder, _manifest(suite, target, exams, backend, given), resume=resume)
    with run.locked():
        run.mend()
        sources = tuple(given[name] for name in suite.sources)
        sources = sources or _from_recipe(suite, folder, target, announce)
        parts = tuple(given[name] for name in suite.composed.of) or sources
        setting = functools.partial(
            Setting, suite, backend=backend, sources=sources, parts=parts, announce=announce
        )
        settings = [_settings(setting, people, _place(folder, n)) for n, people in enumerate(draws)]
        _fill(run, settings, exams)
    facts = {**run.manifest, "methods": suite.methods}
    return write_report(summarise(_asked(run, suite), facts, _sizes(settings[0])), folder)


def _settings(
    setting: Callable[..., Setting], people: Mapping[Shots, Population], folder: Path
) -> dict[Shots, Setting]:
    """Those of every number of shots of a draw."""
    return {shots: setting(shots, population, folder=folder) for shots, population in people.items()}


def _fill(run: RunDirectory, draws: Sequence[Mapping[Shots, Setting]], exams: Mapping[str, Exam]) -> None:
    """Append the rows of these draws that are missing."""
    for draw, settings in enumerate(draws):
        for row in run_methods(settings, exams, [row for row in run.rows() if row["draw"] == draw]):
            run.append({"draw": draw, "code": code_fingerprint(), **row})


def _asked(run: RunDirectory, suite: Suite) -> list[Row]:
    """The rows of a suite; the folder may hold more."""
    shots = {ANY, *map(str, suite.shots)}
    rows = (row for row in run.rows() if row["draw"] < suite.draws and row["shots"] in shots)
    return [row for row in rows if row["method"] in suite.methods]


def _populations(suite: Suite, data: Dataset, draw: int) -> dict[Shots, Population]:
    """Those of every number of shots, 0 among them; all over one data set."""
    wanted: dict[Shots, None] = dict.fromkeys([0, *suite.ordered_shots])
    people = {shots: Population(suite.target(shots, draw), dataset=data) for shots in wanted}
    for shots, population in people.items():
        _check_enough(population, shots)
    return people


def _place(folder: Path, draw: int) -> Path:
    """Where adapters and checkpoints of a draw go."""
    return folder / f"draw-{draw}" if draw else folder


def _check_enough(population: Population, shots: Shots) -> None:
    """See that there are as many users as shots.

    Raises:
        ConfigError: there are not.
    """
    if shots != "all" and len(population.users) < shots:
        raise ConfigError(
            f"{population.dataset.name} has {len(population.users)} users beside those for tests and "
            f"validation, not {shots}. Lower shots, test or validation."
        )


def make_exams(suite: Suite, population: Population) -> dict[str, Exam]:
    """The questions for each kind of negatives; the same for every method and every number of shots."""
    return {
        kind: make_exam(
            population.dataset, Ask(users=suite.test, candidates=suite.candidates, negatives=kind)
        )
        for kind in suite.negatives
    }


def _named(suite: Suite, backend: Backend, target: Population) -> dict[str, Adapter]:
    """The adapters that the suite names, all new to the target."""
    names = dict.fromkeys([*suite.sources, *suite.composed.of])
    given = {name: find(name, base_hash=backend.info.hash) for name in names}
    for adapter in given.values():
        check_unseen(adapter, target)
    return given


def check_unseen(adapter: Adapter, population: Population) -> None:
    """Refuse a source that has seen users of the target.

    Raises:
        ConfigError: as said.
    """
    seen = overlap(adapter.folder, population.dataset, population.dataset.users)
    if seen:
        raise ConfigError(
            f"Adapter {adapter.card.name!r} saw {len(seen)} users of {population.dataset.name}, so it is no "
            "source for it. Give one that saw none of them."
        )


def _manifest(
    suite: Suite,
    population: Population,
    exams: Mapping[str, Exam],
    backend: Backend,
    given: Mapping[str, Adapter],
) -> dict[str, Any]:
    """All that could change a number; data sets and adapters by what they are, not where they lie.

    Which methods, shots and draws there are changes no row of another one: a run can be widened. It takes
    hours, so it also goes on with newer code; each row says of what code it is, and the report how many there
    were.
    """
    facts = {
        **suite.model_dump(mode="json", exclude={"methods", "shots", "draws"}),
        "data": population.dataset.name,
        "data_fingerprint": population.dataset.fingerprint,
        "domain": population.domain.name,
        "template_fingerprint": population.prompter.fingerprint,
        "exams": {kind: exam.fingerprint for kind, exam in exams.items()},
        "model_hash": backend.info.hash,
        "engine": [backend.info.engine, backend.info.context],
        **data_facts(population.dataset),
        "sources": [given[name].card.name for name in suite.sources],
        "adapters": {adapter.card.name: adapter.card.weights_hash for adapter in given.values()},
        "recipe": Recipe.load(suite.recipe).model_dump(mode="json") if suite.recipe else None,
        "version": __version__,
    }
    return dict(json.loads(json.dumps(facts)))


def _from_recipe(
    suite: Suite, folder: Path, target: Population, announce: Announce | None
) -> tuple[Adapter, ...]:
    """The source that the suite's recipe makes, new to the target."""
    if suite.recipe is None:
        return ()
    from llmrec_prompt.adapt.stages import train

    done = train(
        Recipe.load(suite.recipe),
        out=folder / "adapters",
        runs=folder / "training",
        resume=True,
        announce=announce,
    )
    adapter = Adapter(done[-1].folder, Card.load(done[-1].folder))
    check_unseen(adapter, target)
    return (adapter,)


def _sizes(settings: Mapping[Shots, Setting]) -> dict[str, dict[str, int]]:
    """How much each number of shots is."""
    return {
        str(shots): {
            "users": len(setting.population.users),
            "validation": len(setting.population.validation),
            "interactions": len(setting.known.pairs()[0]),
        }
        for shots, setting in settings.items()
        if shots in setting.suite.shots
    }
