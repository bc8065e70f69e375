"""How an encoder is to rank, as users choose it once its weights are learnt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llmrec_prompt.adapt.building import Bench
from llmrec_prompt.adapt.validation import Curves, best_weight, summary


@dataclass(frozen=True, slots=True)
class Choice:
    """How to rank.

    `focus` is a multiple of the learnt one, `popularity` its weight by kind of task; `centred` says that
    centred item states alone serve better than what was learnt of users.
    """

    focus: float
    centred: bool
    popularity: dict[str, float]


@dataclass(frozen=True, slots=True)
class Settled:
    """What was chosen, and the curves of the validation users' last items when ranked so.

    The curves of an encoder are those of the whole catalogue too.
    """

    popularity: dict[str, float]
    curves: list[Curves]
    centred: bool = False


def settle(bench: Bench) -> Settled:
    """Ask users how the adapter is to rank; sets the focus that is best for them.

    There is a choice only for an encoder, and only where there is somebody to ask.
    """
    reader = bench.course.reader
    if reader is None or not (asked := bench.settling()):
        return Settled({}, bench.curves())
    states = {source: exam.catalogue(reader) for source, exam in {e.source: e for e in asked}.items()}
    home = [exam.by_focus(bench.network, reader, states[exam.source]) for exam in asked]
    chosen = choose(home, [exam.centred(states[exam.source]) for exam in asked])
    if not chosen.centred:
        reader.start_from(None, None, chosen.focus * reader.focus)
    curves = [
        exam.centred(states[exam.source]) if chosen.centred else bench.course.judge(exam, states[exam.source])
        for exam in bench.exams
    ]
    return Settled(chosen.popularity, curves, chosen.centred)


def choose(home: Sequence[Mapping[float, Curves]], alone: Sequence[Curves]) -> Choice:
    """What is best in the mean over the groups that were asked.

    Args:
        home: of each group the curves of the score that was learnt, by multiples of the learnt focus.
        alone: of each group those of centred item states.
    """
    focus = max(home[0], key=lambda factor: _worth([curves[factor] for curves in home]))
    learnt = [curves[focus] for curves in home]
    centred = _worth(alone) > _worth(learnt)
    return Choice(focus, centred, _weights(alone if centred else learnt))


def _worth(curves: Sequence[Curves]) -> float:
    return sum(summary(each)["ndcg@10"] for each in curves)


def _weights(curves: Sequence[Curves]) -> dict[str, float]:
    """The best ones, their mean over the groups."""
    return {
        kind: round(sum(best_weight(each[kind]) for each in curves) / len(curves), 3) for kind in curves[0]
    }
