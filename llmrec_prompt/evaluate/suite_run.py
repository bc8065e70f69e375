"""Run a suite: one folder, in it a run for every cell, and one report of all.

Before anything is asked, every exam is made and every adapter is checked against its users.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from llmrec_prompt.adapters import for_domain
from llmrec_prompt.backends import Backend, load_backend, parse_ref
from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import DataError
from llmrec_prompt.evaluate.exam import Exam
from llmrec_prompt.evaluate.offline import evaluate, refuse_leak
from llmrec_prompt.evaluate.plan import check_rankers
from llmrec_prompt.evaluate.protocols import make_exam
from llmrec_prompt.evaluate.reports.files import write_suite_report
from llmrec_prompt.evaluate.reports.sheet import Report, is_run, summarise
from llmrec_prompt.evaluate.run import RunDirectory, claim, read_manifest
from llmrec_prompt.evaluate.suite import Paper, Suite, asks_model, cell_name, papers
from llmrec_prompt.rank.swapping import AUTO, find_adapter
from llmrec_prompt.templates import load_domain

SUITE = "suite.json"
"""The manifest of a folder of runs."""
UNRELATED = ("prices",)
"""What a suite says that changes no number."""


@dataclass(frozen=True, slots=True)
class SuiteReport:
    """The report of every exam of a suite, in the suite's order."""

    name: str
    sheets: tuple[Report, ...]
    run: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, with what it cost and where it lies."""
        return {"suite": self.name, "sheets": [sheet.as_dict() for sheet in self.sheets], "run": self.run}


def run_suite(suite: Suite, *, out: Path | None = None, resume: bool = False) -> SuiteReport:
    """Run a suite, or the rest of it, and report.

    Args:
        suite: what to run.
        out: its folder; runs/NAME if None.
        resume: go on with a suite that is there; without it that is an error.

    Raises:
        ConfigError: the folder holds another suite, something cannot be meant, or an adapter was trained on
            users that are to be tested.
        DataError: the data does not allow it.
        AdapterError: an adapter is for another model.
        UnknownName: there is no such model, adapter or domain.
    """
    asked = papers(suite)
    exams, backend = make_exams(asked), cache(load_backend)
    check_all(asked, exams, backend)
    for plan in (plan for paper in asked for plan in paper.plans if asks_model(plan)):
        backend(plan.model)  # one that cannot be loaded shall not leave a folder that says it was asked
    folder = out or Path("runs") / suite.name
    claim(folder / SUITE, manifest_of(suite), resume=resume)
    for place, (paper, exam) in enumerate(zip(asked, exams, strict=True), start=1):
        for plan in paper.plans:
            cell = folder / f"{place:03d}-{paper.name}" / cell_name(plan)
            model = backend(plan.model) if asks_model(plan) else None
            evaluate(plan, out=cell, resume=True, exam=exam, backend=model)
    return report_suite(folder)


def manifest_of(suite: Suite) -> dict[str, Any]:
    """What of a suite could change a number."""
    content = suite.model_dump(mode="json", exclude=set(UNRELATED))
    return {**content, "rankers": list(suite.rankers)}


def make_exams(asked: Sequence[Paper]) -> list[Exam]:
    """The exam of each paper; a data set is read once.

    Raises:
        ConfigError, DataError: as `make_exam`.
    """
    read = cache(Dataset.load)
    return [make_exam(read(paper.plans[0].data), paper.plans[0].ask) for paper in asked]


def check_all(asked: Sequence[Paper], exams: Sequence[Exam], backend: Any) -> None:
    """Refuse rankers, models, domains, adapters and leaks before anything runs.

    Args:
        asked: the exams' plans.
        exams: in the same order.
        backend: gives the loaded model of a reference.

    Raises:
        ConfigError: an adapter was trained on a user to be tested, or a model reference names nothing.
        AdapterError: an adapter is for another model.
        TemplateError: a domain does not speak the language.
        UnknownName: there is no such model, domain or adapter.
    """
    for paper, exam in zip(asked, exams, strict=True):
        for plan in paper.plans:
            check_rankers(plan)
            domain = load_domain(plan.domain or exam.train.domain).speak(plan.language)
            if asks_model(plan):
                parse_ref(plan.model)
            if plan.adapter is not None:
                _check_adapter(plan.adapter, exam, domain.name, backend(plan.model))


def _check_adapter(adapter: str, exam: Exam, domain: str, loaded: Backend) -> None:
    """Find an adapter as a run would, and hold its users against the exam's."""
    found = for_domain(domain, loaded.info.hash) if adapter == AUTO else None
    if adapter != AUTO or found is not None:
        folder, card = find_adapter(str(found.folder) if found else adapter, loaded.info.hash)
        if card is not None:
            refuse_leak(exam, folder, card.name)


def report_suite(folder: Path, *, baseline: str | None = None) -> SuiteReport:
    """Write the report of a suite again, from the rows of its runs.

    Raises:
        DataError: the folder is no suite, or nothing of it was run.
    """
    runs = runs_of(folder)
    name, wanted = _suite_facts(folder)
    sheets = tuple(summarise(own, baseline=baseline or wanted) for own in runs)
    found = SuiteReport(name, sheets, str(folder))
    write_suite_report(folder, found.name, found.sheets, runs)
    return found


def runs_of(folder: Path) -> list[list[RunDirectory]]:
    """The runs of each exam of a suite, or the one run that a folder is.

    Raises:
        DataError: it is neither, or holds no runs yet.
    """
    if is_run(folder):
        return [[RunDirectory(folder)]]
    if not (folder / SUITE).is_file():
        raise DataError(f"{folder} holds neither manifest.json nor {SUITE}, so it is no evaluation run.")
    groups: dict[Path, list[RunDirectory]] = {}
    for path in sorted(folder.glob("*/*/manifest.json")):
        groups.setdefault(path.parent.parent, []).append(RunDirectory(path.parent))
    if not groups:
        raise DataError(f"Nothing of the suite {folder} was run yet. Run it with --resume.")
    return list(groups.values())


def _suite_facts(folder: Path) -> tuple[str, str | None]:
    """Name and baseline."""
    content = read_manifest(folder / SUITE)
    return str(content.get("name", folder.name)), content.get("baseline")
