"""Probes from a plan: data and rankers in, what each probe found out. See `evaluate.probes`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llmrec_prompt.backends import Backend
from llmrec_prompt.data import Dataset
from llmrec_prompt.data.splits import seeded_order
from llmrec_prompt.errors import ConfigError, DataError, UnknownName, Unsupported
from llmrec_prompt.evaluate.exam import Exam
from llmrec_prompt.evaluate.offline import check_leak, make_recommender
from llmrec_prompt.evaluate.plan import Plan, check_rankers
from llmrec_prompt.evaluate.probes import (
    probe_exchange,
    probe_fairness,
    probe_position,
    probe_titles,
    ranker_about,
)
from llmrec_prompt.evaluate.protocols import make_exam
from llmrec_prompt.evaluate.score_cache import ScoreStore, cached
from llmrec_prompt.rank import Ranker
from llmrec_prompt.recommender import Recommender

PROBES = ("position", "attributes", "memory")
TITLES = 200
"""Titles that memory is asked about, by a seeded order."""


@dataclass(frozen=True, slots=True)
class Probing:
    """What to probe; `attributes` are words for who asks, `k` how many of the first are compared."""

    plan: Plan
    probes: Sequence[str] = PROBES
    attributes: Sequence[str] = ("man", "woman")
    k: int = 5


def probe(asked: Probing, *, backend: Backend | None = None) -> dict[str, Any]:
    """Ask the rankers of a plan again and again, otherwise each time.

    Their answers are kept (`evaluate.score_cache`): a probe that was cut off goes on where it was.

    Args:
        asked: what to probe.
        backend: the plan's model, if it is loaded already.

    Returns:
        `facts`, and for each probe the summary by ranker (of memory: by kind of question). What a ranker or
        the model cannot be asked is in `refused`, with the reason.

    Raises:
        ConfigError: the plan cannot be meant, or the adapter was trained on users that are asked about.
        DataError: the data does not allow it.
        UnknownName: no such probe, ranker, model or domain.
    """
    unknown = [name for name in asked.probes if name not in PROBES]
    if unknown or not asked.probes:
        raise UnknownName("probe", unknown[0] if unknown else "", PROBES)
    plan = asked.plan
    check_rankers(plan)
    exam = make_exam(Dataset.load(plan.data), plan.ask)
    recommender = make_recommender(plan, exam, backend)
    check_leak(exam, recommender)
    store = ScoreStore()
    try:
        return _Session(asked, exam, recommender, store).run()
    finally:
        store.close()


class _Session:
    """One call of `probe`: what it asks, and what was refused so far."""

    def __init__(self, asked: Probing, exam: Exam, recommender: Recommender, store: ScoreStore) -> None:
        self._asked, self._exam, self._recommender, self._store = asked, exam, recommender, store
        self._refused: dict[str, str] = {}

    def run(self) -> dict[str, Any]:
        """Probe by probe."""
        plan, makers = self._asked.plan, {"position": self._position, "attributes": self._attributes}
        found: dict[str, Any] = {"facts": self._facts()}
        for name, of in makers.items():
            if name in self._asked.probes:
                rows = {ranker: self._tried(f"{name}: {ranker}", of, ranker) for ranker in plan.rankers}
                found[name] = {ranker: row for ranker, row in rows.items() if row is not None}
        if "memory" in self._asked.probes:
            kinds = {"titles": self._titles, "exchange": self._exchange}
            tried = {kind: self._tried(f"memory: {kind}", of) for kind, of in kinds.items()}
            found["memory"] = {kind: row for kind, row in tried.items() if row is not None}
        return {**found, "refused": self._refused}

    def _facts(self) -> dict[str, Any]:
        plan = self._asked.plan
        return {
            "data": self._exam.train.name,
            "users": len(self._exam.questions.users),
            "candidates": plan.candidates,
            "negatives": plan.negatives,
            "model": plan.model,
            "adapter": plan.adapter,
            "attributes": list(self._asked.attributes),
            "k": self._asked.k,
            "seed": plan.seed,
        }

    def _tried(self, what: str, of: Any, *given: str) -> dict[str, Any] | None:
        """A summary, or None and the reason noted: one that cannot be asked does not end the others."""
        try:
            return dict(of(*given).summary())
        except (ConfigError, DataError, Unsupported) as error:
            self._refused[what] = str(error)
            return None

    def _kept(self, ranker: Ranker) -> Ranker:
        return cached(ranker, self._recommender, self._store)

    def _position(self, name: str) -> Any:
        ranker = self._kept(self._recommender.ranker_of(name))
        return probe_position(ranker, self._exam.questions, self._exam.targets, seed=self._asked.plan.seed)

    def _attributes(self, name: str) -> Any:
        neutral = self._recommender.ranker_of(name)
        if not neutral.origin:
            raise Unsupported(f"{name} reads no prompt, so no attribute can reach it.")
        words = self._asked.attributes
        about = {word: self._kept(ranker_about(self._recommender, word, name)) for word in words}
        return probe_fairness(
            self._kept(neutral), about, self._exam.questions, k=self._asked.k, seed=self._asked.plan.seed
        )

    def _titles(self) -> Any:
        items = {item.item_id: item.title for item in self._exam.train.items}
        drawn = seeded_order(list(items), self._asked.plan.seed)[:TITLES]
        return probe_titles(
            self._recommender.backend, {key: items[key] for key in drawn}, seed=self._asked.plan.seed
        )

    def _exchange(self) -> Any:
        prompter, nexts = self._recommender.prompter, {}
        for question in self._exam.questions:
            wanted = self._exam.targets[question.user]
            nexts[question.user] = next(
                prompter.continuation(item) for item in question.candidates if item.item_id in wanted
            )
        prompts = {q.user: prompter.history(q.history).text for q in self._exam.questions}
        return probe_exchange(self._recommender.backend, prompts, nexts, seed=self._asked.plan.seed)
