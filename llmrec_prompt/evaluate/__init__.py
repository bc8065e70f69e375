"""Offline evaluation: questions without answers, rankings, honest numbers. Knows not how rankers work."""

from llmrec_prompt.evaluate.exam import Exam, Question
from llmrec_prompt.evaluate.offline import evaluate
from llmrec_prompt.evaluate.plan import Plan
from llmrec_prompt.evaluate.protocols import Ask, make_exam
from llmrec_prompt.evaluate.reports.files import write_report
from llmrec_prompt.evaluate.reports.sheet import Report, report, summarise
from llmrec_prompt.evaluate.run import RunDirectory
from llmrec_prompt.evaluate.runner import run_exam

__all__ = [
    "Ask",
    "Exam",
    "Plan",
    "Question",
    "Report",
    "RunDirectory",
    "evaluate",
    "make_exam",
    "report",
    "run_exam",
    "summarise",
    "write_report",
]
