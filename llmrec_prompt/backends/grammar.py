"""JSON schemas as GBNF grammars in which every value has one spelling, for llama.cpp here and on a server.

llama.cpp's own conversions let a model choose blanks and line breaks, each build in its own way: a small
model loses itself in them, and the same model writes another text on a server than in this process.

Format: grammars/README.md of ggml-org/llama.cpp.
"""

import json
from collections.abc import Mapping
from typing import Any


class _Beyond(Exception):
    """A schema that says what these grammars do not."""


def gbnf(schema: Mapping[str, Any]) -> str | None:
    r"""The grammar of objects, lists of a fixed length and enumerations; None for any other schema.

    >>> gbnf({"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]})
    'root ::= "{" "\\"n\\": " ("1" | "2") "}"'
    """
    try:
        return f"root ::= {_rule(schema)}"
    except _Beyond:
        return None


def _rule(schema: Mapping[str, Any]) -> str:
    match schema:
        case {"enum": [_, *_] as values}:
            return f"({' | '.join(_literal(json.dumps(value)) for value in values)})"
        case {"type": "array", "items": Mapping() as item, "minItems": int(least), "maxItems": most} if (
            0 < least == most
        ):
            rule = _rule(item)
            return f'"[" ({rule} ", "){{{least - 1}}} {rule} "]"' if least > 1 else f'"[" {rule} "]"'
        case {"type": "object", "properties": Mapping() as fields, "required": required} if fields and list(
            fields
        ) == list(required):
            parts = [f"{_literal(json.dumps(name) + ': ')} {_rule(value)}" for name, value in fields.items()]
            return '"{" ' + ' ", " '.join(parts) + ' "}"'
    raise _Beyond


def _literal(text: str) -> str:
    """A quoted terminal; json.dumps leaves ASCII without control characters."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
