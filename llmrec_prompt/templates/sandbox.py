"""A Jinja environment in which a template can do no harm: no side effects, bounded size and time.

Jinja's own sandbox guards attributes and mutation but neither time nor memory, so loops check a deadline,
`range` is short, output ends early, and what can blow a text up (repetition, some methods) is refused.
"""

import time
from collections.abc import Mapping
from typing import Any

from jinja2 import BaseLoader, StrictUndefined, Template, nodes
from jinja2.exceptions import SecurityError, UndefinedError
from jinja2.exceptions import TemplateError as JinjaError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llmrec_prompt.errors import TemplateError

MAX_OUTPUT = 64_000
"""Characters a template may write."""
MAX_SECONDS = 2.0
"""Time a template may take."""
MAX_RANGE = 1_000

STRING_METHODS = {"lower", "upper", "title", "strip", "lstrip", "rstrip", "split", "startswith", "endswith"}
FILTERS = {
    "abs", "batch", "capitalize", "count", "d", "default", "dictsort", "first", "float", "int", "items",
    "join", "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "replace",
    "reverse", "round", "select", "selectattr", "slice", "sort", "string", "sum", "title", "tojson", "trim",
    "truncate", "unique", "upper", "wordcount",
}  # fmt: skip


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment every template of this library runs in."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self, loader: BaseLoader) -> None:
        super().__init__(
            loader=loader,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            autoescape=False,
        )
        self.filters = {name: f for name, f in self.filters.items() if name in FILTERS}
        self.globals = {"range": _short_range, "tick__": self._tick}
        self._deadline = 0.0
        self._snippets: dict[str, Template] = {}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """Put a look at the clock into the body of every loop and macro."""
        tree = super()._parse(source, name, filename)
        block: Any
        for block in tree.find_all((nodes.For, nodes.Macro)):
            call = nodes.Call(nodes.Name("tick__", "load"), [], [], None, None)
            block.body.insert(0, nodes.ExprStmt(call).set_lineno(block.lineno).set_environment(self))
        return tree

    def _tick(self) -> None:
        if time.monotonic() > self._deadline:
            raise SecurityError(f"it takes longer than {MAX_SECONDS:g} s")

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic, but no repetition of texts and no big powers."""
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if not numbers or (operator == "**" and abs(right) > 8):
            raise SecurityError(f"operator {operator!r} is only for small numbers here")
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Jinja's own rule, and of strings only the methods that cannot make them long."""
        if isinstance(obj, str):
            return attr in STRING_METHODS
        return super().is_safe_attribute(obj, attr, value)

    def _compiled(self, source: str) -> Template:
        if source not in self._snippets:
            self._snippets[source] = self.from_string(source)
        return self._snippets[source]

    def run(self, name: str, variables: Mapping[str, Any], *, source: str | None = None) -> str:
        """Render the named template, or `source` under that name for messages.

        Raises:
            TemplateError: missing, malformed, undefined variable, or over the limits; in one line.
        """
        self._deadline = time.monotonic() + MAX_SECONDS
        parts: list[str] = []
        size = 0
        try:
            template = self.get_template(name) if source is None else self._compiled(source)
            for part in template.generate(variables):
                size += len(part)
                if size > MAX_OUTPUT:
                    raise SecurityError(f"it writes more than {MAX_OUTPUT} characters")
                parts.append(part)
        except UndefinedError as error:
            known = ", ".join(sorted(variables))
            raise TemplateError(
                f"Template {name!r}: {error.message}. Variables there are: {known}."
            ) from error
        except (JinjaError, ArithmeticError, TypeError, ValueError, RecursionError) as error:
            number = getattr(error, "lineno", None)
            line = f", line {number}" if number else ""
            raise TemplateError(f"Template {name!r}{line}: {str(error) or type(error).__name__}.") from error
        return "".join(parts)


def _short_range(*arguments: int) -> range:
    numbers = range(*arguments)
    if len(numbers) > MAX_RANGE:
        raise SecurityError(f"range() goes to {MAX_RANGE} at most here")
    return numbers
