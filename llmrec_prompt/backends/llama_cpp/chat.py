"""Greedy answers from llama.cpp, kept inside a JSON schema where one is given."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from llmrec_prompt.backends.base import Message, Usage
from llmrec_prompt.backends.chat import parse_object, render_chat
from llmrec_prompt.backends.grammar import gbnf
from llmrec_prompt.backends.llama_cpp.engine import Context, Model, Token, free_sampler, grammar_for
from llmrec_prompt.errors import ContextOverflow


def answer(
    model: Model,
    context: Context,
    usage: Usage,
    messages: Sequence[Message],
    schema: Mapping[str, Any] | None,
    max_tokens: int,
) -> Any:
    """Evaluate the conversation and decode until the model ends, as text or as the parsed object."""
    tokens = conversation_tokens(model, messages)
    if len(tokens) + max_tokens > context.size:
        raise ContextOverflow(len(tokens) + max_tokens, context.size)
    for begin in range(0, len(tokens), context.batch):
        part = tokens[begin : begin + context.batch]
        last = len(tokens) - 1
        context.decode([Token(t, begin + i, 0, begin + i == last) for i, t in enumerate(part)])
    grammar = None if schema is None else gbnf(schema) or grammar_for(json.dumps(schema))
    sampler = model.grammar_sampler(grammar)
    try:
        text = _decode(model, context, sampler, len(tokens), max_tokens)
    finally:
        free_sampler(sampler)
    usage.evaluated += len(tokens)
    return text if schema is None else parse_object(text, max_tokens)


def conversation_tokens(model: Model, messages: Sequence[Message]) -> list[int]:
    """The conversation in the model's chat format; message contents never make control tokens."""
    tokens: list[int] = []
    for text, is_content in render_chat(model.metadata("tokenizer.chat_template"), messages):
        tokens += model.tokenize(text, special=not is_content, bos=not tokens)
    return tokens


def _decode(model: Model, context: Context, sampler: Any, position: int, max_tokens: int) -> str:
    answer = b""
    for _ in range(max_tokens):
        token = context.sample(sampler)
        if model.is_end(token):
            break
        answer += model.piece(token)
        context.decode([Token(token, position, 0, True)])
        position += 1
    return answer.decode("utf-8", "replace").strip()
