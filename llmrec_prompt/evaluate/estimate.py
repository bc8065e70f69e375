"""What a suite will take: time, tokens and money, before it runs.

From the rates of earlier runs on this machine where there are some, else from a few real questions; each line
says which. A rate is what one question and the preparing of one item cost.
"""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llmrec_prompt.backends import Backend
from llmrec_prompt.errors import ContextOverflow, DataError
from llmrec_prompt.evaluate.exam import Exam, Question
from llmrec_prompt.evaluate.offline import as_deployed, make_recommender
from llmrec_prompt.evaluate.plan import Plan
from llmrec_prompt.evaluate.rates import Rate, rate_key, recorded, uses_model
from llmrec_prompt.evaluate.runner import answer, prepare_one
from llmrec_prompt.evaluate.suite import Paper
from llmrec_prompt.rank import Ranker, RetrievedRanker
from llmrec_prompt.rank.base import tokens_of
from llmrec_prompt.recommender import Recommender

PROBED = 3
"""Real questions that stand for all where nothing is recorded."""
LONG = 100
"""Candidates; with more of them a language model is asked a shortened question, whose cost is scaled."""
FEW, MANY = 2, 24
"""Candidates of shortened questions: two lengths say what one more candidate takes."""
LEARNING = ("lstm", "sasrec", "stacked")
"""Rankers that learn for minutes before they answer: a dry run does not begin that."""
HOSTED = ("openai:",)
"""Beginnings of the models that cost money."""
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Line:
    """What one ranker will take in one exam."""

    plan: Plan
    ranker: str
    users: int
    items: int
    rate: Rate

    @property
    def seconds(self) -> float:
        """In all."""
        rate = self.rate
        return self.users * rate.seconds + self.items * rate.item_seconds + rate.build_seconds

    @property
    def tokens(self) -> float:
        """In all; those that are reused are not counted."""
        return self.users * self.rate.tokens + self.items * self.rate.item_tokens

    def cost(self, prices: Mapping[str, float]) -> float | None:
        """In the currency of the prices: nothing for a local model, None for a hosted one without a price."""
        if not self.plan.model.startswith(HOSTED) or not uses_model(self.ranker, self.plan.embedder):
            return 0.0
        price = prices.get(self.plan.model)
        return None if price is None else price * self.tokens / MILLION

    def as_dict(self, prices: Mapping[str, float]) -> dict[str, Any]:
        """Plain values."""
        asked = {key: getattr(self.plan, key) for key in ("data", "protocol", "negatives", "history")}
        model = self.plan.model if uses_model(self.ranker, self.plan.embedder) else None
        took = {"seconds": round(self.seconds, 1), "tokens": round(self.tokens), "cost": self.cost(prices)}
        who = {"ranker": self.ranker, "model": model, "adapter": self.plan.adapter if model else None}
        return {**asked, **who, "users": self.users, **took, "from": self.rate.source}


def estimate(asked: Sequence[Paper], exams: Sequence[Exam], backend: Any) -> list[Line]:
    """A line for every ranker of every plan.

    Args:
        asked: the exams' plans.
        exams: in the same order.
        backend: gives the loaded model of a reference; called only where something is to be measured.
    """
    known, lines = recorded(), []
    seen: dict[tuple[str | None, ...], set[str]] = {}
    for paper, exam in zip(asked, exams, strict=True):
        items = {item.item_id for item in exam.questions.candidate_items()}
        for plan in paper.plans:
            rates = _rates(plan, exam, backend, known)
            for name in plan.rankers:
                # What is prepared for an item is kept, so another exam of the same data finds it.
                before = seen.setdefault((name, plan.data, *_voice(plan)), set())
                lines.append(Line(plan, name, len(exam.questions), len(items - before), rates[name]))
                before |= items
    return lines


def _voice(plan: Plan) -> tuple[str | None, ...]:
    return plan.model, plan.adapter, plan.domain, plan.language


def _rates(plan: Plan, exam: Exam, backend: Any, known: dict[str, Rate]) -> dict[str, Rate]:
    """Of a plan's rankers; what had to be measured is known from then on."""
    rates = {name: known[key] for name in plan.rankers if (key := rate_key(plan, name)) in known}
    missing = [name for name in plan.rankers if name not in rates]
    if missing:
        asks = any(uses_model(name, plan.embedder) for name in missing)
        loaded: Backend | None = backend(plan.model) if asks else None
        recommender = make_recommender(plan, exam, loaded)
        fresh = {name: _measured(recommender, name, exam, plan) for name in missing}
        known |= {rate_key(plan, name): rate for name, rate in fresh.items()}
        rates |= fresh
    return rates


def _measured(recommender: Recommender, name: str, exam: Exam, plan: Plan) -> Rate:
    if name in LEARNING:
        return Rate(0.0, 0.0, source="not measured: learns first")
    start = time.monotonic()
    ranker = recommender.ranker_of(name)
    seconds = time.monotonic() - start
    ranker = as_deployed(ranker, name, recommender, plan.retrieve)
    return replace(measure(ranker, exam, plan.seed), build_seconds=seconds)


def measure(ranker: Ranker, exam: Exam, seed: int) -> Rate:
    """Ask a few questions and time them; what a ranker refuses costs nothing.

    A language model is not shown a whole catalogue for that: see `LONG`.
    """
    questions = exam.questions[:PROBED]
    whole = bool(ranker.origin) and not isinstance(ranker, RetrievedRanker)
    cut = whole and max(len(q.candidates) for q in questions) > LONG
    asked = [shortened(q, 2 * FEW + MANY) for q in questions] if cut else questions
    items = list({item.item_id: item for q in asked for item in q.candidates}.values())
    ahead = prepare_one(ranker, items)
    if cut:
        pairs = zip(asked, questions, strict=True)
        took = [_scaled(ranker, short, len(whole.candidates), seed) for short, whole in pairs]
    else:
        took = [_take(ranker, question, seed) for question in questions]
    return Rate(
        seconds=sum(seconds for seconds, _ in took) / len(took),
        tokens=sum(tokens for _, tokens in took) / len(took),
        item_seconds=ahead["seconds"] / len(items),
        item_tokens=ahead["tokens"] / len(items),
        source=f"{len(took)} {'shortened ' if cut else ''}questions",
    )


def shortened(question: Question, count: int) -> Question:
    """The same with so many of its candidates, from all over the list."""
    step = max(1, len(question.candidates) // count)
    return replace(question, candidates=question.candidates[::step][:count])


def _take(ranker: Ranker, question: Question, seed: int) -> tuple[float, float]:
    """Seconds and tokens of one question."""
    start, before = time.monotonic(), tokens_of(ranker)[0]
    with contextlib.suppress(DataError, ContextOverflow):
        answer(ranker, question, seed)
    return time.monotonic() - start, tokens_of(ranker)[0] - before


def _scaled(ranker: Ranker, short: Question, count: int, seed: int) -> tuple[float, float]:
    """Seconds and tokens of a question with `count` candidates, from three with few of them.

    The first pays for the history; the second and the third find the same of it kept, so that they differ in
    candidates alone. Time goes with the tokens, where there are any.
    """
    cuts = (slice(FEW), slice(FEW, 2 * FEW), slice(2 * FEW, None))
    parts = [replace(short, candidates=short.candidates[cut]) for cut in cuts]
    first, second, third = (_take(ranker, part, seed) for part in parts)
    one = max(0.0, third[1] - second[1]) / (MANY - FEW)
    tokens = first[1] + one * (count - FEW)
    spent = first[1] + second[1] + third[1]
    seconds = (first[0] + second[0] + third[0]) * tokens / spent if spent else first[0]
    return seconds, tokens


def total(lines: Sequence[Line], prices: Mapping[str, float]) -> dict[str, Any]:
    """Sums; `cost` is None where a hosted model has no price."""
    costs = [line.cost(prices) for line in lines]
    return {
        "seconds": round(sum(line.seconds for line in lines), 1),
        "tokens": round(sum(line.tokens for line in lines)),
        "cost": None if None in costs else round(sum(c for c in costs if c is not None), 4),
        "measured": sum(line.rate.source.endswith("questions") for line in lines),
        "unknown": sum(line.rate.source.startswith("not measured") for line in lines),
    }
