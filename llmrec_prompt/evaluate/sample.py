"""What is written down of an exam before anybody answers: candidates, the catalogue, a sample of questions.

With these a report can be made from the folder alone, and another system be given the very same questions.
"""

import json

from llmrec_prompt.cache import write_atomically
from llmrec_prompt.evaluate.exam import Exam, Question, write_candidates, write_ids
from llmrec_prompt.evaluate.reports.files import write_json
from llmrec_prompt.evaluate.run import RunDirectory
from llmrec_prompt.recommender import Recommender

SAMPLED = 40
"""Questions kept whole, to be looked at one by one: the first, whose users are in a seeded order."""
SHOWN = 100
"""Of more candidates no more than these are kept; the target is always among them."""


def write_asked(run: RunDirectory, exam: Exam, recommender: Recommender | None) -> None:
    """Write candidates.tsv, exam.json, items.jsonl and sample.jsonl, each wholly or not at all.

    Where the whole catalogue is asked for, left_out.tsv takes the place of candidates.tsv: what each user
    has, which is all of items.jsonl that is no candidate.

    Args:
        run: where to.
        exam: what is asked.
        recommender: whose prompt is kept with the sample; None if no language model takes part.
    """
    left_out = exam.questions.left_out()
    if left_out is None:
        write_candidates(exam.questions, run.folder / "candidates.tsv")
    else:
        write_ids(left_out, run.folder / "left_out.tsv")
    write_json(run.folder, "exam.json", exam.facts)
    counts = exam.train.popularity().tolist()
    items = (
        {"item_id": item.item_id, "title": item.title, "popularity": int(count)}
        for item, count in zip(exam.train.items, counts, strict=True)
    )
    write_atomically(run.folder / "items.jsonl", "".join(_line(item) for item in items))
    lines = (_line(_kept(question, exam, recommender)) for question in exam.questions[:SAMPLED])
    write_atomically(run.folder / "sample.jsonl", "".join(lines))


def _kept(question: Question, exam: Exam, recommender: Recommender | None) -> dict[str, object]:
    relevant = exam.targets[question.user]
    ids = [item.item_id for item in question.candidates]
    if len(ids) > SHOWN:
        rest = [item_id for item_id in ids if item_id not in relevant][: SHOWN - len(relevant)]
        ids = [*rest, *sorted(relevant)]
    return {
        "user": question.user,
        "history": [item.item_id for item in question.history],
        "candidates": ids,
        "targets": sorted(relevant),
        "prompt": _prompt(question, recommender),
    }


def _prompt(question: Question, recommender: Recommender | None) -> str | None:
    """What a language model reads of the history; None where there is nothing to read."""
    if recommender is None or not question.history:
        return None
    return recommender.prompter.history(question.history).text


def _line(value: dict[str, object]) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True) + "\n"
