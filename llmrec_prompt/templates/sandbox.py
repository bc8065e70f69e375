"""A Jinja environment in which a template can do no harm: no side effects, bounded size and time.

Jinja's own sandbox guards attributes and mutation but neither time nor memory, so whatever can run often
checks a deadline, `range` is short, output ends early, and what can blow a value up (repetition, some
methods, big arguments of filters, joining and nesting over and over) is refused.
"""

import functools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any

from jinja2 import BaseLoader, StrictUndefined, Template, nodes, pass_environment
from jinja2.exceptions import SecurityError, UndefinedError
from jinja2.exceptions import TemplateError as JinjaError
from jinja2.filters import make_attrgetter
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from llmrec_prompt.errors import TemplateError, did_you_mean

MAX_OUTPUT = 64_000
"""Characters a template may write."""
MAX_PRINTED = 10 * MAX_OUTPUT
"""Characters of values it may print, all that is captured and printed again counted anew."""
MAX_SECONDS = 2.0
"""Time a template may take."""
MAX_RANGE = 1_000
MAX_VALUE = 200_000
"""How big a list with all that is in it may get."""
MAX_NUMBER = 10**15
MAX_ARGUMENT = 1_000
"""How big a filter's arguments may be: numbers, texts, lists."""

STRING_METHODS = {"lower", "upper", "title", "strip", "lstrip", "rstrip", "split", "startswith", "endswith"}
FILTERS = {
    "abs", "batch", "capitalize", "count", "d", "default", "dictsort", "first", "float", "int", "items",
    "join", "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "replace",
    "reverse", "round", "select", "selectattr", "slice", "sort", "string", "sum", "title", "tojson", "trim",
    "truncate", "unique", "upper", "wordcount",
}  # fmt: skip
TEXT_FILTERS = {
    "capitalize", "lower", "replace", "string", "title", "trim", "truncate", "upper", "wordcount",
}  # fmt: skip
"""Those that make a text of whatever they are given, also of a value that is missing."""
FAULTS = (
    JinjaError, ArithmeticError, AttributeError, LookupError, RecursionError, SyntaxError, TypeError,
    ValueError,
)  # fmt: skip
"""What a template can bring about. Python's own SyntaxError comes of too many loops in each other."""


class Unknown(StrictUndefined):
    """What is not there; its message says what is."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        there, name = self._undefined_obj, self._undefined_name
        message = super()._undefined_message
        if self._undefined_hint is None and isinstance(there, Mapping):
            hint = did_you_mean(str(name), there)
            return f"no attribute {name!r}.{hint} There are: {', '.join(sorted(there))}"
        if isinstance(name, int) and isinstance(there, Sized):
            return f"{message} (of {len(there)})"
        return message


class _Run(threading.local):
    """What belongs to one run of a template, in a sandbox that several threads use."""

    deadline = 0.0
    missing = 0
    printed = 0


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment every template of this library runs in.

    A value that is missing (None) is printed as nothing; `missing` counts them.
    """

    intercepted_binops = frozenset({"*", "**", "%", "+"})

    def __init__(self, loader: BaseLoader) -> None:
        self._own = _Run()
        super().__init__(
            loader=loader,
            undefined=Unknown,
            finalize=self.shown,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            autoescape=False,
        )
        known: dict[str, Any] = {**self.filters, "join": _join}
        known |= {name: _of_text(known[name], self.shown) for name in TEXT_FILTERS}
        self.filters = {name: _bounded(f, self.tick) for name, f in known.items() if name in FILTERS}
        self.tests = {name: _ticking(test, self.tick) for name, test in self.tests.items()}
        self.globals = {"range": _short_range}
        self._snippets: dict[str, Template] = {}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """Put a look at the clock into the body of all that can run often, and bounds around new values."""
        tree: nodes.Template = _Bounds().visit(super()._parse(source, name, filename))
        block: Any
        for block in (tree, *tree.find_all((nodes.For, nodes.Macro, nodes.Block))):  # a file includes itself
            call = nodes.Call(nodes.EnvironmentAttribute("tick"), [], [], None, None)
            block.body.insert(0, nodes.ExprStmt(call).set_lineno(block.lineno))
            if getattr(block, "test", None):
                block.test = nodes.And(call, block.test).set_lineno(block.lineno)
        tree.set_environment(self)
        return tree

    @property
    def missing(self) -> int:
        """Missing values that the latest run of this thread printed."""
        return self._own.missing

    def tick(self) -> bool:
        """Look at the clock; true, so that it can stand in a condition."""
        if time.monotonic() > self._own.deadline:
            raise SecurityError(f"it takes longer than {MAX_SECONDS:g} s")
        return True

    def shown(self, value: Any) -> Any:
        """What is printed of a value: the word None says nothing of an item, so what is missing is empty."""
        if value is None:
            self._own.missing += 1
            return ""
        if isinstance(value, str):
            self._own.printed += len(value)
            if self._own.printed > MAX_PRINTED:
                raise SecurityError(f"it prints more than {MAX_PRINTED} characters, in macros or out of them")
        return value

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic, but no repetition of texts, no big powers, no endless joining."""
        if left is None or right is None:
            raise SecurityError(f"operator {operator!r} meets a missing value; ask for it with if first")
        if operator == "+" and isinstance(left, str | list | tuple):
            return bounded_value(super().call_binop(context, operator, left, right))
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        small = numbers and abs(left) <= MAX_NUMBER and abs(right) <= MAX_NUMBER
        if not small or (operator == "**" and abs(right) > 8):
            raise SecurityError(f"operator {operator!r} is only for small numbers here")
        return super().call_binop(context, operator, left, right)

    @staticmethod
    def concat(parts: Iterable[str]) -> str:
        """What Jinja joins captured output with (macros, `{% set %}` blocks)."""
        return "".join(_measured(parts, MAX_OUTPUT))

    @staticmethod
    def bounded(value: Any) -> Any:
        """A list, tuple or dict that a template makes, if it is not too big."""
        return bounded_value(value)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """No `format`: Jinja would let it through, and it pads to any width."""
        return None

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Jinja's own rule, of strings only the methods that cannot make them long, of numbers none."""
        if isinstance(obj, str):
            return attr in STRING_METHODS
        if isinstance(obj, int | float):
            return False
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
        self._own.deadline = time.monotonic() + MAX_SECONDS
        self._own.missing = self._own.printed = 0
        try:
            template = self.get_template(name) if source is None else self._compiled(source)
            return "".join(_measured(template.generate(variables), MAX_OUTPUT, "it writes"))
        except UndefinedError as error:
            message = str(error).rstrip(".")
            known = f" Variables there are: {', '.join(sorted(variables))}."
            raise TemplateError(
                f"Template {name!r}: {message}.{known if message.endswith('is undefined') else ''}"
            ) from error
        except FAULTS as error:
            number = getattr(error, "lineno", None)
            line = f", line {number}" if number else ""
            message = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            raise TemplateError(f"Template {name!r}{line}: {message}.") from error


class _Bounds(NodeTransformer):
    """Sends every value that a template puts together through `bounded_value`."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        """`a ~ b` becomes the filter `join`, which is bounded."""
        self.generic_visit(node)
        return nodes.Filter(nodes.List(node.nodes), "join", [], [], None, None).set_lineno(node.lineno)

    def visit_List(self, node: nodes.Expr) -> nodes.Node:
        """A list of more than constants: lists of lists of lists grow fast."""
        self.generic_visit(node)
        if getattr(node, "ctx", "load") != "load" or not any(node.find_all(nodes.Name)):
            return node
        call = nodes.Call(nodes.EnvironmentAttribute("bounded"), [node], [], None, None)
        return call.set_lineno(node.lineno)

    visit_Tuple = visit_Dict = visit_List


@pass_environment
def _join(sandbox: Sandbox, value: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
    """Jinja's `join`, in which what is missing is as empty as it is where it stands alone."""
    if attribute is not None:
        value = map(make_attrgetter(sandbox, attribute), value)
    return str(d).join(_measured((str(sandbox.shown(one)) for one in value), MAX_OUTPUT))


def _of_text(filter_: Callable[..., Any], shown: Callable[[Any], Any]) -> Callable[..., Any]:
    """The filter, which takes a missing value for an empty text."""
    own = 1 if hasattr(filter_, "jinja_pass_arg") else 0

    @functools.wraps(filter_)
    def of_text(*arguments: Any, **named: Any) -> Any:
        return filter_(*arguments[:own], shown(arguments[own]), *arguments[own + 1 :], **named)

    return of_text


def _ticking(test: Any, tick: Callable[[], bool]) -> Callable[..., bool]:
    """The test, with a look at the clock: `select` asks it of every value."""

    @functools.wraps(test)
    def ticking(*arguments: Any, **named: Any) -> bool:
        return tick() and test(*arguments, **named)

    return ticking


def _bounded(filter_: Callable[..., Any], tick: Callable[[], bool]) -> Callable[..., Any]:
    """The filter, with small arguments only, and no long texts or many of them as its answer."""
    own = 2 if hasattr(filter_, "jinja_pass_arg") else 1

    @functools.wraps(filter_)
    def bounded(*arguments: Any, **named: Any) -> Any:
        tick()
        for argument in (*arguments[own:], *named.values()):
            if isinstance(argument, int | float):
                if abs(argument) > MAX_ARGUMENT:
                    raise SecurityError(f"a filter's argument is {MAX_ARGUMENT} at most here")
            else:
                bounded_value(argument, MAX_ARGUMENT)
        answer = filter_(*arguments, **named)
        if isinstance(answer, Iterator):  # of `map` and its kin
            return _measured(answer, MAX_VALUE)
        return bounded_value(answer, MAX_OUTPUT) if isinstance(answer, str) else answer

    return bounded


def _measured(values: Iterable[Any], limit: int, what: str = "it makes a value of") -> Iterator[Any]:
    """The values one by one, as long as their lengths add up to no more than the limit."""
    size = 0
    for value in values:
        size += len(value) if isinstance(value, str) else 1
        if size > limit:
            raise SecurityError(f"{what} more than {limit} characters")
        yield value


def bounded_value(value: Any, limit: int = MAX_VALUE) -> Any:
    """The value itself, if what it holds, written out, is not longer than the limit.

    Raises:
        SecurityError: it is.
    """
    size, rest = 0, [value]
    while rest:
        part = rest.pop()
        size += len(part) if isinstance(part, str) else 1
        if size > limit:
            raise SecurityError(f"it makes a value of more than {limit} characters")
        if isinstance(part, Mapping):
            rest.extend((*part.keys(), *part.values()))
        elif isinstance(part, list | tuple):
            rest.extend(part)
    return value


def _short_range(*arguments: int) -> range:
    numbers = range(*arguments)
    if len(numbers) > MAX_RANGE:
        raise SecurityError(f"range() goes to {MAX_RANGE} at most here")
    return numbers
