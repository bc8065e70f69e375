"""What is asked in an evaluation, with the answers kept apart from the questions."""

from llmrec_prompt.evaluate.exam import Exam, Question
from llmrec_prompt.evaluate.protocols import DRAWN as KINDS
from llmrec_prompt.evaluate.protocols import Ask, exam_of, leave_last_out_exam, make_exam

__all__ = ["KINDS", "Ask", "Exam", "Question", "exam_of", "leave_last_out_exam", "make_exam"]
