"""Files of settings, such as suites and recipes: YAML in, a mapping out."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from llmrec_prompt.errors import ConfigError, UnknownName
from llmrec_prompt.reading import read_yaml
from llmrec_prompt.types import shown

NAME = r"^[a-z0-9][a-z0-9._-]*$"
"""What a name may be that becomes a file's."""


class Strict(BaseModel):
    """Settings that do not change and have no other keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Settings = TypeVar("Settings", bound=Strict)


def read_settings(path: str | Path, what: str, keys: str) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Args:
        path: the file.
        what: the kind of file it should be, such as "suite".
        keys: some keys of that kind, for the error.

    Raises:
        ConfigError: the file cannot be read, or holds no mapping.
    """
    content = read_yaml(Path(path), ConfigError, f"the {what} {path}")
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


def name_of(path: str | Path) -> str:
    """The name of a suite whose file says none.

    >>> name_of("suites/My shop.yaml")
    'my-shop'
    """
    return re.sub(r"[^a-z0-9._-]+", "-", Path(path).stem.lower()).strip("-._") or "suite"


def checked(model: type[Settings], content: Any, where: str) -> Settings:
    """Settings of a kind from plain values; `where` they stand, for the error.

    Raises:
        ConfigError: something in it cannot be meant; says what and where.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{where}: {fault(error, model)}") from error


def fault(error: ValidationError, model: type[BaseModel], within: str = "") -> str:
    """The first thing that is wrong, in one line; an unknown key, told before all else, says which there are.

    Args:
        error: what pydantic found.
        model: the kind of settings that it read.
        within: the key under which these settings stand, if any.
    """
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    above = (within,) if within else ()
    place = ".".join(map(str, (*above, *first["loc"])))
    if first["type"] == "extra_forbidden":
        return str(UnknownName("key", place, [".".join([*above, key]) for key in _keys(model, first["loc"])]))
    if first["type"] == "missing":
        return f"{place} is missing."
    message = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
    if first.get("ctx", {}).get("pattern") == NAME:
        message = "A name is lower-case letters, digits and . _ -, such as my-shop"
    told = not first["loc"] or (first["type"] == "value_error" and isinstance(first["input"], dict))
    found = "" if told else f" (found {shown(first['input'])})"
    return f"{place + ': ' if place else ''}{message}{found}."


def _keys(model: type[BaseModel], place: Sequence[int | str]) -> list[str]:
    """What could have been written there, as dotted paths."""
    for step in place[:-1]:
        if isinstance(step, str):
            model = _models(model.model_fields[step].annotation)[0]
    return [".".join(map(str, [*place[:-1], key])) for key in model.model_fields]


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The kinds of settings in a field's type, such as those in a tuple of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]
