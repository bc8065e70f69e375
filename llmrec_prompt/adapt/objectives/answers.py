"""Objectives `yes_no` and `label`: the answer to a question is one token, and its logits are compared.

`yes_no`: TALLRec (Bao et al. 2023), one prompt a candidate, " Yes" for the target and " No" for negatives.
`label`: LlamaRec (Yue et al. 2023), all candidates under letters in one prompt, the target's letter.
Their templates are `yes_no.j2` and `label.j2`, and the ranking modes of the same names read their adapters.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from llmrec_prompt.adapt.histories import Texts
from llmrec_prompt.adapt.network import Network
from llmrec_prompt.adapt.questions import Question
from llmrec_prompt.backends.labels import single_tokens
from llmrec_prompt.templates.prompter import ANSWERS, LABELS


class Answers(nn.Module):  # type: ignore[misc]
    """Logits of answer tokens after rendered questions.

    Args:
        network: what is trained.
        texts: those of each source.
        answers: the answer words; the token is a space and the word.

    Raises:
        BackendError: an answer is not one token after a question of a source.
    """

    def __init__(self, network: Network, texts: Sequence[Texts], answers: Sequence[str]) -> None:
        super().__init__()
        self.__dict__["_network"] = network
        self._texts = list(texts)
        self._tokens = [
            single_tokens(t.tokens, self._example(source), [f" {answer}" for answer in answers])
            for source, t in enumerate(self._texts)
        ]

    def _example(self, source: int) -> str:
        """Some question; all end alike."""
        return self._prompts(source, Question((0,), (0,), 0))[0]

    def _prompts(self, source: int, question: Question) -> list[str]:
        raise NotImplementedError

    def _logits(self, source: int, prompts: Sequence[str]) -> Any:
        """(prompts, answers). Such prompts hardly come twice, so their lower states are not kept."""
        sequences = [self._texts[source].tokens(prompt) for prompt in prompts]
        states = self._network.ends(sequences, keep=False)
        return self._network.logits(states)[:, self._tokens[source]]

    def _items(self, source: int, rows: Sequence[int]) -> list[Any]:
        return [self._texts[source].dataset.items[row] for row in rows]


class YesNo(Answers):
    """One question a candidate."""

    def __init__(self, network: Network, texts: Sequence[Texts]) -> None:
        super().__init__(network, texts, ANSWERS)

    def _prompts(self, source: int, question: Question) -> list[str]:
        history, prompter = self._items(source, question.history), self._texts[source].prompter
        return [
            prompter.yes_no(history, item, show=len(history))
            for item in self._items(source, question.candidates)
        ]

    def loss(self, source: int, questions: Sequence[Question]) -> Any:
        """Cross entropy of Yes or No, in nats a candidate."""
        logits = self._logits(source, [p for q in questions for p in self._prompts(source, q)])
        no = [place != q.answer for q in questions for place in range(len(q.candidates))]
        return F.cross_entropy(logits, torch.tensor(no, device=logits.device).long())

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def scores(self, source: int, question: Question) -> Any:
        """How much likelier Yes is than No for each candidate, in nats."""
        logits = self._logits(source, self._prompts(source, question))
        return (logits[:, 0] - logits[:, 1]).double().cpu().numpy()


class Label(Answers):
    """One question for all candidates."""

    def __init__(self, network: Network, texts: Sequence[Texts]) -> None:
        super().__init__(network, texts, LABELS)

    def _prompts(self, source: int, question: Question) -> list[str]:
        history = self._items(source, question.history)
        candidates = self._items(source, question.candidates)
        return [self._texts[source].prompter.label(history, candidates, show=len(history))]

    def loss(self, source: int, questions: Sequence[Question]) -> Any:
        """Cross entropy of the target's letter among those given, in nats a question."""
        logits = self._logits(source, [p for q in questions for p in self._prompts(source, q)])
        answers = torch.tensor([q.answer for q in questions], device=logits.device)
        return F.cross_entropy(logits[:, : len(questions[0].candidates)], answers)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def scores(self, source: int, question: Question) -> Any:
        """The logit of each candidate's letter."""
        logits = self._logits(source, self._prompts(source, question))[0, : len(question.candidates)]
        return logits.double().cpu().numpy()
