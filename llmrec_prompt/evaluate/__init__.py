"""Offline evaluation: questions without answers, rankings, honest numbers. Knows not how rankers work."""

from llmrec_prompt.evaluate.cases import Exam, Question, leave_last_out_exam
from llmrec_prompt.evaluate.offline import Plan, evaluate
from llmrec_prompt.evaluate.run import RunDirectory
from llmrec_prompt.evaluate.runner import Report, report, run_exam

__all__ = [
    "Exam",
    "Plan",
    "Question",
    "Report",
    "RunDirectory",
    "evaluate",
    "leave_last_out_exam",
    "report",
    "run_exam",
]
