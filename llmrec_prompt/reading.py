"""YAML and JSON of files that somebody else may have written: whatever stands in them, reading ends soon.

A few hundred bytes of YAML can stand for billions of values, and a few thousand brackets exhaust the stack.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from llmrec_prompt.errors import LlmrecError, first_line

LARGEST = 1 << 18
"""Bytes of a file; those that are meant have a hundredth of it."""
TOO_LARGE = f"it is larger than {LARGEST >> 10} KiB"
MOST, DEEPEST = 20_000, 50
"""Values in a YAML file, with every alias as many as it stands for, and how deep they may be nested."""
LONGEST = 100
"""Characters of a number or date; to count in sixties takes the square of their number."""
FAULTS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError, yaml.YAMLError)
"""What PyYAML raises, such as ValueError for 2024-02-30 and KeyError for `!!bool maybe`."""


def read_yaml(path: Path, error: type[LlmrecError], what: str = "") -> Any:
    """What a YAML file holds.

    Args:
        path: the file.
        error: raised if it cannot be read.
        what: the file as an error names it; its path if empty.

    Raises:
        LlmrecError: `error`: it cannot be read, is too large, or cannot be meant; says which, in one line.
    """
    what = what or str(path)
    return parse_yaml(_text(path, what, error), what, error)


def parse_yaml(text: str, what: str, error: type[LlmrecError]) -> Any:
    """What a YAML text holds; `what` it is, for errors.

    Raises:
        LlmrecError: `error`: it is too large, or cannot be meant.
    """
    if len(text) > LARGEST:
        raise error(f"Cannot read {what}: {TOO_LARGE}.")
    try:
        return yaml.load(text, _Bounded)
    except FAULTS as fault:
        raise error(f"Cannot read {what}: it is no YAML: {' '.join(str(fault).split())}.") from fault


def read_json(path: Path, error: type[LlmrecError]) -> Any:
    """What a JSON file holds.

    Raises:
        LlmrecError: `error`: it cannot be read, is too large, or is no JSON.
    """
    try:
        return json.loads(_text(path, str(path), error))
    except (RecursionError, ValueError) as fault:
        raise error(f"Cannot read {path}: it is no JSON: {first_line(fault)}.") from fault


def _text(path: Path, what: str, error: type[LlmrecError]) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise error(f"Cannot read {what}: {TOO_LARGE}.")
        return data.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise error(f"Cannot read {what}: it is not UTF-8: byte {fault.start}.") from fault
    except OSError as fault:
        raise error(f"Cannot read {what}: {fault.strerror or fault}.") from fault


class _Bounded(yaml.SafeLoader):
    """Counts values as they come, so that too many are never made."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._count = self._depth = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """A value, and how many are in it; an alias counts as much as what it stands for."""
        alias, before = self.check_event(yaml.AliasEvent), self._count
        if self._depth == DEEPEST:
            raise yaml.YAMLError(f"it is nested deeper than {DEEPEST}")
        self._depth += 1
        node: Any = super().compose_node(parent, index)
        self._depth -= 1
        if alias and id(node) not in self._sizes:
            raise yaml.YAMLError("an alias stands within what it stands for")
        self._count += self._sizes[id(node)] if alias else 1
        self._sizes[id(node)] = self._count - before
        if self._count > MOST:
            raise yaml.YAMLError(f"it holds more than {MOST} values")
        if len(node.value) > LONGEST and isinstance(node, yaml.ScalarNode) and not node.tag.endswith(":str"):
            raise yaml.YAMLError(f"a number or date of {len(node.value)} characters")
        return node
