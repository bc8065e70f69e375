"""One evaluation from a plan: data and rankers in, a run directory and a report out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llmrec_prompt import __version__
from llmrec_prompt.adapters import overlap
from llmrec_prompt.backends import DEFAULT_MODEL, adapter_identity
from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.evaluate.cases import KINDS, Exam, leave_last_out_exam
from llmrec_prompt.evaluate.run import RunDirectory, manifest_name, write_atomically
from llmrec_prompt.evaluate.runner import Report, default_folder, report, run_exam
from llmrec_prompt.rank import EncoderRanker
from llmrec_prompt.recommender import Recommender

ALL = ("random", "popularity", "bm25", "embedding", "co-occurrence", "likelihood", "fused")


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a run depends on."""

    data: str
    users: int | None = 200
    candidates: int = 20
    negatives: str = "uniform"
    rankers: Sequence[str] = ALL
    model: str = DEFAULT_MODEL
    domain: str | None = None
    language: str | None = None
    adapter: str | None = None
    """Name, domain, path or hub id; rankers that use the model rank under it."""
    popularity_weight: float | None = None
    """Of the encoder's popularity term; what the adapter's card says for these negatives if None."""
    embedder: str = "auto"
    seed: int = 0


def evaluate(plan: Plan, *, out: Path | None = None, resume: bool = False) -> Report:
    """Run a plan, or the rest of it, and report.

    Raises:
        ConfigError: the plan cannot be meant, `out` holds another run, or the adapter was trained on users
            that are to be tested.
        DataError: the data does not allow it.
        UnknownName: no such ranker, model or domain.
    """
    if not plan.rankers or len(set(plan.rankers)) != len(plan.rankers):
        raise ConfigError(f"Rankers {', '.join(plan.rankers) or 'none'}: give at least one, each once.")
    exam = leave_last_out_exam(
        Dataset.load(plan.data),
        users=plan.users,
        candidates=plan.candidates,
        negatives=plan.negatives,
        seed=plan.seed,
    )
    recommender = make_recommender(plan, exam)
    check_leak(exam, recommender)
    rankers = {name: recommender.ranker_of(name) for name in plan.rankers}
    manifest = make_manifest(plan, exam, recommender)
    run = RunDirectory.start(out or default_folder(manifest_name(manifest)), manifest, resume=resume)
    write_candidates(run, exam)
    run_exam(exam, rankers, run, seed=plan.seed)
    return report(run)


def make_recommender(plan: Plan, exam: Exam) -> Recommender:
    """One that knows the logs without any target, and from what the candidates are drawn."""
    return Recommender(
        exam.train,
        domain=plan.domain,
        model=plan.model,
        adapter=plan.adapter,
        language=plan.language,
        embedder=plan.embedder,
        task=plan.negatives if plan.negatives in KINDS else "catalogue",
        popularity_weight=plan.popularity_weight,
        seed=plan.seed,
    )


def check_leak(exam: Exam, recommender: Recommender) -> None:
    """Refuse to test an adapter on users whose histories it was trained on.

    Raises:
        ConfigError: as said.
    """
    card = recommender.card
    if card is None:
        return
    users = [question.user for question in exam.questions]
    leaked = overlap(recommender.backend.adapter or "", exam.train.name, users)
    if leaked:
        raise ConfigError(
            f"Adapter {card.name!r} was trained on {len(leaked)} of the {len(users)} users to be tested, "
            "so the result would be a leak. Test others, or an adapter trained without them."
        )


def make_manifest(plan: Plan, exam: Exam, recommender: Recommender) -> dict[str, Any]:
    """The plan, and the identity of all that it names."""
    origins = [recommender.ranker_of(name).origin for name in plan.rankers]
    models = [origin["model_hash"] for origin in origins if origin]
    return {
        **asdict(plan),
        "rankers": list(plan.rankers),
        "data": exam.train.name,
        "data_fingerprint": exam.train.fingerprint,
        "exam": exam.fingerprint,
        "protocol": "leave-last-out",
        "domain": recommender.domain.name,
        "template_fingerprint": recommender.prompter.fingerprint,
        "model": plan.model if models else "",
        "model_hash": models[0] if models else "",
        "weights": recommender.fusion,
        "version": __version__,
        **adapter_facts(plan, recommender),
    }


def adapter_facts(plan: Plan, recommender: Recommender) -> dict[str, Any]:
    """Which adapter, which mode it chose, how the encoder weighs; nothing of what does not take part."""
    facts: dict[str, Any] = {}
    if plan.adapter is not None:
        facts["adapter_hash"] = adapter_identity(recommender.backend.adapter)
        facts["adapter_name"] = recommender.card.name if recommender.card else ""
    if "auto" in plan.rankers:
        facts["auto"] = recommender.ranker_of("auto").name
    rankers = [recommender.ranker_of(name) for name in plan.rankers]
    for ranker in rankers:
        if isinstance(ranker, EncoderRanker):
            facts["encoder"] = ranker.settings
    return facts


def write_candidates(run: RunDirectory, exam: Exam) -> None:
    """Keep the candidates in the common plain form, so that another system can be given the same."""
    lines = [f"{q.user}\t{' '.join(i.item_id for i in q.candidates)}\n" for q in exam.questions]
    write_atomically(run.folder / "candidates.tsv", "".join(lines))
