"""Files of settings, such as suites and recipes: YAML in, a mapping out."""

from pathlib import Path
from typing import Any

import yaml

from llmrec_prompt.errors import ConfigError


def read_settings(path: str | Path, what: str, keys: str) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Args:
        path: the file.
        what: the kind of file it should be, such as "suite".
        keys: some keys of that kind, for the error.

    Raises:
        ConfigError: the file cannot be read, or holds no mapping.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"Cannot read the {what} {path}: {' '.join(str(error).split())}.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is no {what}: expected keys such as {keys}.")
    return content


def change(content: Any, dotted: str, value: Any) -> None:
    """Set what stands at a dotted path, such as `stages.0.steps`; mappings on the way are made.

    Raises:
        ConfigError: the path leads through what is no list or mapping, or past the end of a list.
    """
    *path, last = dotted.split(".")
    try:
        for step in path:
            content = content[int(step)] if isinstance(content, list) else content.setdefault(step, {})
        content[int(last) if isinstance(content, list) else last] = value
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise ConfigError(
            f"There is nothing at {dotted!r} to change. Write for example stages.0.steps=100."
        ) from error
