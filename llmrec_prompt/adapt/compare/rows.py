"""The rows of a comparison: each method fitted on its shots, and asked every question of the exams."""

import time
from collections.abc import Iterable, Iterator, Mapping

from llmrec_prompt.adapt.compare.methods import BUILT
from llmrec_prompt.adapt.compare.report import ANY, METRICS
from llmrec_prompt.adapt.compare.setting import Contestant, Setting
from llmrec_prompt.adapt.compare.suite import Shots
from llmrec_prompt.adapters import overlap
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.evaluate.exam import Exam
from llmrec_prompt.evaluate.metrics import compute
from llmrec_prompt.evaluate.run import Row
from llmrec_prompt.evaluate.runner import answer
from llmrec_prompt.progress import track
from llmrec_prompt.rank import Ranker


def run_methods(
    settings: Mapping[Shots, Setting], exams: Mapping[str, Exam], rows: Iterable[Row]
) -> Iterator[Row]:
    """Fit and test what has no row yet; a row for each method, shots and kind of negatives.

    What no shots can change is done in the first draw alone.
    """
    done = {(row["method"], row["shots"], row["negatives"]) for row in rows}
    suite = settings[0].suite
    flat = [(name, ANY, settings[0]) for name in suite.methods if BUILT[name].flat and not _drawn(settings)]
    curve = [
        (name, str(shots), settings[shots])
        for shots in suite.ordered_shots
        for name in suite.methods
        if not BUILT[name].flat
    ]
    for name, shots, setting in [*flat, *curve]:
        missing = [kind for kind in exams if (name, shots, kind) not in done]
        if missing and BUILT[name].possible(setting):
            contestant = BUILT[name].fit(setting)
            _check_untested(contestant, exams[missing[0]])
            for kind in missing:
                yield {"method": name, "shots": shots, **examine(contestant, kind, exams[kind], name)}


def _drawn(settings: Mapping[Shots, Setting]) -> bool:
    """Whether these are a draw after the first."""
    return settings[0].population.source.draw > 0


def _check_untested(contestant: Contestant, exam: Exam) -> None:
    """What was trained here may know no tested user either."""
    tested = [question.user for question in exam.questions]
    if contestant.adapter and overlap(contestant.adapter, exam.train, tested):
        raise ConfigError(f"{contestant.adapter.name} was trained on users to be tested: a leak.")


def examine(contestant: Contestant, kind: str, exam: Exam, label: str) -> Row:
    """Ask a fitted method every question; its values are in the order of the questions."""
    begin = time.monotonic()
    ranker: Ranker = contestant.ranker(kind)
    ranker.prepare(list({item.item_id: item for q in exam.questions for item in q.candidates}.values()))
    values: dict[str, list[float]] = {metric: [] for metric in METRICS}
    events: dict[str, int] = {}
    for question in track(exam.questions, f"{label}, {kind}", len(exam.questions)):
        order = answer(ranker, question, 0)
        for metric, value in compute(order.ids, exam.targets[question.user], METRICS).items():
            values[metric].append(round(value, 6))
        for event, count in order.provenance.events.items():
            events[event] = events.get(event, 0) + count
    facts = {**contestant.facts, "mode": order.provenance.mode}
    if isinstance(facts.get("popularity"), Mapping):
        facts["popularity"] = facts["popularity"].get(kind, 0.0)
    seconds = round(time.monotonic() - begin, 2)
    return {"negatives": kind, "values": values, "facts": facts, "events": events, "seconds": seconds}
