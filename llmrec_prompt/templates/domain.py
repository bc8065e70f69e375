"""Domains: the few words that turn the base templates into those of movies, hotels or a new shop."""

import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llmrec_prompt.cache import write_atomically
from llmrec_prompt.errors import ConfigError, TemplateError, UnknownName
from llmrec_prompt.reading import read_yaml
from llmrec_prompt.types import complaints

_ROOM = Path(__file__).parent.parent
BUILT_IN = (_ROOM / "prompts", _ROOM.parent / "prompts")
"""Where the package's own domains lie: in it, or beside it in the repository."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


class Words(BaseModel):
    """How a domain speaks in one language."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    noun: str
    nouns: str
    person: str
    verb: str


class Domain(BaseModel):
    """One domain.yaml. Everything in it is part of the template fingerprint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=f"^{_NAME.pattern}$")
    version: int = 1
    language: str = "en"
    noun: str
    nouns: str
    person: str = "person"
    verb: str
    item: str = "{{ item.title }}"
    """One line for an item: what the history shows and what is scored as its continuation."""
    about: str | None = None
    """The fuller text that content scorers compare; None takes the base template `about.j2`."""
    history: int = Field(default=10, ge=1, le=200)
    """How many of the latest items a prompt shows."""
    interests: bool = False
    """Whether the prompt starts with a line on the categories the user likes."""
    numeric: dict[str, Literal["min-max", "mean-std"]] = {}
    """Numeric item fields a template shows, and how they are normalised over the catalogue."""
    title_limit: int = Field(default=150, ge=10)
    text_limit: int = Field(default=300, ge=10)
    words: dict[str, Words] = {}
    """The words in other languages."""

    def speak(self, language: str | None) -> "Domain":
        """This domain in another language, whose name may be in any capitals.

        Raises:
            TemplateError: its domain.yaml has no words for it.
        """
        names = {name.lower(): name for name in (*self.words, self.language)}
        language = names.get((language or self.language).lower(), language)
        if language is None or language == self.language:
            return self
        if language not in self.words:
            have = ", ".join([self.language, *self.words])
            raise TemplateError(
                f"Domain {self.name!r} has no words for language {language!r}; it has: {have}. "
                f"Add words.{language} to its domain.yaml."
            )
        return self.model_copy(update={"language": language, **self.words[language].model_dump()})


def search_path(explicit: Path | None = None) -> list[Path]:
    """Folders of templates, first match wins: the given one, ./prompts, the package, the repository.

    Raises:
        TemplateError: the given one is no folder.
    """
    if explicit is not None and not explicit.is_dir():
        raise TemplateError(f"There is no folder of templates at {explicit}.")
    places = [explicit, Path("prompts"), *BUILT_IN]
    found: dict[Path, Path] = {}
    for place in places:
        if place is not None and place.is_dir():
            found.setdefault(place.resolve(), place)
    return list(found.values())


def list_domains(explicit: Path | None = None) -> dict[str, Path]:
    """All domains and the files they come from."""
    found: dict[str, Path] = {}
    for place in search_path(explicit):
        for path in sorted(place.glob("*/domain.yaml")):
            found.setdefault(path.parent.name, path)
    return dict(sorted(found.items()))


def load_domain(name: str, explicit: Path | None = None) -> Domain:
    """Load a domain by name, or from the path of a domain.yaml.

    Raises:
        UnknownName: no such domain.
        TemplateError: its file is not a domain.yaml that can be meant.
    """
    if name.endswith((".yaml", ".yml")):
        return _read(Path(name))
    known = list_domains(explicit)
    if name not in known:
        raise UnknownName("domain", name, known)
    domain = _read(known[name])
    if domain.name != name:
        raise TemplateError(f"{known[name]}: its name is {domain.name!r} but its folder is {name!r}.")
    return domain


def _read(path: Path) -> Domain:
    content = read_yaml(path, TemplateError)
    try:
        return Domain.model_validate(content)
    except ValidationError as error:
        raise TemplateError(f"{path}: {complaints(error)}.") from error


def new_domain(name: str, folder: Path, *, force: bool = False, **fields: Any) -> Path:
    """Write a working domain.yaml for a new domain and return its path.

    Raises:
        ConfigError: the name cannot be a folder, the file exists already, or a field cannot be meant.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"Domain name {name!r} must be lower-case letters, digits, '-' and '_'.")
    path = folder / name / "domain.yaml"
    if path.exists() and not force:
        raise ConfigError(f"{path} exists already. Edit it, or say --force to write it anew.")
    noun = fields.pop("noun", None) or re.sub(r"(?<=[^s])s$", "", re.sub("[-_]", " ", name))
    values = {"name": name, "version": 1, "language": "en", "noun": noun, "nouns": f"{noun}s"}
    values |= {"person": "person", "verb": "chose", "item": "{{ item.title }}", "history": 10}
    values |= {key: value for key, value in fields.items() if value is not None}
    try:
        Domain.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"New domain {name!r}: {complaints(error)}.") from error
    head = "# A domain is a few words over the base templates; see `llmrec prompts show --help`.\n"
    return write_atomically(path, head + yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
