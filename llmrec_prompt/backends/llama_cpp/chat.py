"""Greedy answers from llama.cpp, kept inside a JSON schema where one is given."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from llmrec_prompt.backends.base import Message, Usage
from llmrec_prompt.backends.chat import conversation_tokens, parse_object
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
    tokens = conversation_tokens(model.metadata("tokenizer.chat_template"), messages, model.tokenize)
    if len(tokens) + max_tokens > context.size:
        raise ContextOverflow(len(tokens) + max_tokens, context.size)
    context.read(tokens)
    grammar = None if schema is None else gbnf(schema) or grammar_for(json.dumps(schema))
    sampler = model.grammar_sampler(grammar)
    try:
        text, length = _decode(model, context, sampler, len(tokens), max_tokens)
    finally:
        free_sampler(sampler)
    usage.evaluated += len(tokens) + length
    return text if schema is None else parse_object(text, max_tokens)


def _decode(model: Model, context: Context, sampler: Any, position: int, max_tokens: int) -> tuple[str, int]:
    """The text, and how many tokens it took."""
    pieces: list[bytes] = []
    while len(pieces) < max_tokens and not model.is_end(token := context.sample(sampler)):
        context.decode([Token(token, position + len(pieces), 0, True)])
        pieces.append(model.piece(token))
    return b"".join(pieces).decode("utf-8", "replace").strip(), len(pieces)
