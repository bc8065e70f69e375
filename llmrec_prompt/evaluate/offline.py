"""One evaluation from a plan: data and rankers in, a run directory and a report out."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llmrec_prompt import __version__
from llmrec_prompt.adapters import overlap
from llmrec_prompt.backends import Backend
from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.evaluate.exam import Exam
from llmrec_prompt.evaluate.plan import ONLY_GIVEN, Plan, check_rankers
from llmrec_prompt.evaluate.protocols import DRAWN, make_exam
from llmrec_prompt.evaluate.rates import record
from llmrec_prompt.evaluate.reports.files import write_report
from llmrec_prompt.evaluate.reports.lists import write_lists
from llmrec_prompt.evaluate.reports.sheet import Report
from llmrec_prompt.evaluate.run import RunDirectory, append_line, manifest_name
from llmrec_prompt.evaluate.runner import run_exam
from llmrec_prompt.evaluate.sample import write_asked
from llmrec_prompt.evaluate.score_cache import ScoreStore, cached
from llmrec_prompt.rank import EncoderRanker, Ranker, RetrievedRanker, ScorerRanker
from llmrec_prompt.rank.identity import card_facts, code_fingerprint, data_facts
from llmrec_prompt.recommender import Recommender


def evaluate(
    plan: Plan,
    *,
    out: Path | None = None,
    resume: bool = False,
    exam: Exam | None = None,
    backend: Backend | None = None,
) -> Report:
    """Run a plan, or the rest of it, and report.

    Args:
        plan: what to run.
        out: the run's folder; named after the manifest under runs/ if None.
        resume: go on with a run that is there; without it that is an error.
        exam: the plan's, if it is made already.
        backend: the plan's model, if it is loaded already.

    Raises:
        ConfigError: the plan cannot be meant, `out` holds another run or one that another process is at work
            in, or the adapter was trained on users that are to be tested.
        DataError: the data does not allow it.
        UnknownName: no such ranker, model or domain.
    """
    check_rankers(plan)
    exam = exam or make_exam(Dataset.load(plan.data), plan.ask)
    recommender = make_recommender(plan, exam, backend)
    check_leak(exam, recommender)
    rankers, building = build(recommender, plan.rankers)
    manifest = make_manifest(plan, exam, recommender, rankers)
    run = RunDirectory.start(out or Path("runs") / manifest_name(manifest), manifest, resume=resume)
    with run.locked():
        run.mend()
        write_asked(run, exam, recommender if manifest["model"] else None)
        for name, seconds in building.items():
            append_line(run.folder / "spent.jsonl", {"ranker": name, "build_seconds": seconds})
        answer_all(exam, recommender, rankers, run, retrieve=plan.retrieve)
        write_lists(run, exam)
        found = write_report(run)
    record(plan, found.costs)
    return found


def answer_all(
    exam: Exam,
    recommender: Recommender,
    rankers: Mapping[str, Ranker],
    run: RunDirectory,
    *,
    retrieve: int | None = None,
) -> None:
    """Ask what is unanswered; what was computed is kept, also when it is stopped.

    With `retrieve` a mode is asked about so many candidates that retrieval finds.

    Raises:
        ConfigError: the rows that are there are not the beginning of this run.
    """
    store = ScoreStore()
    try:
        kept = {name: cached(ranker, recommender, store) for name, ranker in rankers.items()}
        kept = {name: as_deployed(kept[name], name, recommender, retrieve) for name in kept}
        run_exam(exam, kept, run, seed=recommender.settings.seed, workers=at_once(recommender, rankers))
    finally:
        store.close()


def as_deployed(ranker: Ranker, name: str, recommender: Recommender, retrieve: int | None) -> Ranker:
    """The ranker behind retrieval, where that is asked for and the mode does not know the whole catalogue."""
    retriever = None if retrieve is None else recommender.retriever_of(name, retrieve)
    return ranker if retriever is None or retriever.finds_all else RetrievedRanker(ranker, retriever)


def at_once(recommender: Recommender, rankers: Mapping[str, Ranker]) -> int:
    """How many questions the rankers may be asked at the same time: several where a server takes them."""
    asks = any(ranker.origin for ranker in rankers.values())
    return recommender.backend.info.at_once if asks else 1


def build(recommender: Recommender, names: Sequence[str]) -> tuple[dict[str, Ranker], dict[str, float]]:
    """The rankers, and the seconds that each took to be fitted or loaded; what they share falls on the first.

    Raises:
        UnknownName: there is no such ranker.
        Unsupported: the model lacks what one asks for.
    """
    rankers, seconds = {}, {}
    for name in names:
        start = time.monotonic()
        rankers[name] = recommender.ranker_of(name)
        seconds[name] = round(time.monotonic() - start, 4)
    return rankers, seconds


def make_recommender(plan: Plan, exam: Exam, backend: Backend | None = None) -> Recommender:
    """One that knows the logs without any target, and from what the candidates are drawn."""
    return Recommender(
        exam.train,
        domain=plan.domain,
        model=backend or plan.model,
        adapter=plan.adapter,
        language=plan.language,
        embedder=plan.embedder,
        task=plan.negatives if plan.negatives in DRAWN else "catalogue",
        popularity_weight=plan.popularity_weight,
        seed=plan.seed,
    )


def check_leak(exam: Exam, recommender: Recommender) -> None:
    """Refuse to test an adapter on users whose histories it was trained on.

    Raises:
        ConfigError: as said.
    """
    if recommender.card is not None:
        refuse_leak(exam, recommender.backend.adapter or "", recommender.card.name)


def refuse_leak(exam: Exam, folder: Path | str, name: str) -> None:
    """The same for the folder of an adapter; loads no model.

    Raises:
        ConfigError: one of the users was trained on.
    """
    users = exam.questions.users
    leaked = overlap(folder, exam.train, users)
    if leaked:
        raise ConfigError(
            f"Adapter {name!r} was trained on {len(leaked)} of the {len(users)} users to be tested, "
            "so the result would be a leak. Test others, or an adapter trained without them."
        )


def make_manifest(
    plan: Plan, exam: Exam, recommender: Recommender, rankers: Mapping[str, Ranker]
) -> dict[str, Any]:
    """The plan, and the identity of all that it names."""
    models = dict.fromkeys(ranker.origin["model_hash"] for ranker in rankers.values() if ranker.origin)
    given = {name: getattr(plan, name) for name in ONLY_GIVEN if getattr(plan, name) is not None}
    facts = {
        **{key: value for key, value in asdict(plan).items() if key not in ONLY_GIVEN},
        **given,
        **({"sizes": exam.facts["sizes"]} if "sizes" in exam.facts else {}),
        "rankers": list(plan.rankers),
        "data": exam.train.name,
        "data_fingerprint": exam.train.fingerprint,
        **data_facts(exam.train),
        "exam": exam.fingerprint,
        "domain": recommender.domain.name,
        "template_fingerprint": recommender.prompter.fingerprint,
        "model": plan.model if models else "",
        "model_hash": ", ".join(models),
        "weights": recommender.fusion,
        **({"learnt": getattr(rankers["stacked"], "weights", {})} if "stacked" in rankers else {}),
        "version": __version__,
        "code": code_fingerprint(),
        **adapter_facts(plan, recommender, rankers),
        **engine_facts(recommender, rankers),
    }
    return dict(json.loads(json.dumps(facts)))


def engine_facts(recommender: Recommender, rankers: Mapping[str, Ranker]) -> dict[str, Any]:
    """The engine and its context, and what `embedder: auto` is here; nothing of what does not take part."""
    facts: dict[str, Any] = {}
    if any(ranker.origin for ranker in rankers.values()):
        info = recommender.backend.info
        facts["engine"] = [f"{info.engine} {info.build}".strip(), info.context]
    if "embedding" in {part for r in rankers.values() for part in (r.name, *getattr(r, "weights", ()))}:
        embedding = recommender.ranker_of("embedding")  # built already, as a ranker or a part of one
        if isinstance(embedding, ScorerRanker):
            facts["embeds_with"] = embedding.scorer.settings["embedder"]
    return facts


def adapter_facts(plan: Plan, recommender: Recommender, rankers: Mapping[str, Ranker]) -> dict[str, Any]:
    """Which adapter, which mode it chose, how the encoder weighs; nothing of what does not take part."""
    facts: dict[str, Any] = {}
    if plan.adapter is not None:
        facts["adapter_hash"] = recommender.backend.adapter_hash
        facts["adapter_name"] = recommender.card.name if recommender.card else ""
        facts["card"] = card_facts(recommender.card)
    if "auto" in rankers:
        facts["auto"] = rankers["auto"].name
    for ranker in rankers.values():
        if isinstance(ranker, EncoderRanker):
            facts["encoder"] = ranker.settings
    return facts
