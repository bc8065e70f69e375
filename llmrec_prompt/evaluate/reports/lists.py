"""What the first ten of every ranker show besides the target: from a run's rows and the logs it was given."""

from typing import Any

from llmrec_prompt.evaluate.description import Facts, describe_lists
from llmrec_prompt.evaluate.exam import Exam
from llmrec_prompt.evaluate.reports.files import write_json
from llmrec_prompt.evaluate.run import RunDirectory

K = 10
DESCRIBED = 2000
"""No more users than these, the first of the exam's seeded order: their lists are held at once."""
DIGITS = 4


def write_lists(run: RunDirectory, exam: Exam) -> None:
    """Write lists.json: for each ranker, every metric of `describe_lists` by name."""
    users = frozenset(exam.questions.users[:DESCRIBED])
    lists: dict[str, dict[str, list[str]]] = {name: {} for name in run.manifest["rankers"]}
    for row in run.rows():
        if row["user"] in users and "ids" in row:
            lists[row["ranker"]][row["user"]] = row["ids"][:K]
    histories = {q.user: [item.item_id for item in q.history] for q in exam.questions[:DESCRIBED]}
    facts = Facts.of(exam.train)
    tables = {name: describe_lists(own, histories, facts, k=K) for name, own in lists.items() if own}
    write_json(run.folder, "lists.json", {name: _rounded(table) for name, table in tables.items()})


def _rounded(table: Any) -> dict[str, Any]:
    return {
        name: {key: round(v, DIGITS) if isinstance(v, float) else v for key, v in cell.items()}
        for name, cell in table.items()
    }
