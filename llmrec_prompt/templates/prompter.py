"""The prompts of one domain: a history's prompt, an item's line, an item's fuller text."""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import meta
from jinja2.exceptions import TemplateError as JinjaError
from jinja2.exceptions import TemplateNotFound, TemplateSyntaxError

from llmrec_prompt.data.interests import derive_interests
from llmrec_prompt.data.normalise import Scaler
from llmrec_prompt.data.titles import natural_title
from llmrec_prompt.errors import TemplateError
from llmrec_prompt.templates import sanitise
from llmrec_prompt.templates.domain import BUILT_IN, Domain, search_path
from llmrec_prompt.templates.folders import Folders
from llmrec_prompt.templates.sandbox import Sandbox
from llmrec_prompt.types import Item

MOST_PARTS = 200
"""Of a list, such as categories: one item with thousands would fill every template it stands in."""
LABELS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
"""What `label.j2` puts before candidates; the answer is one of them after a space."""
QUESTIONS = ("yes_no", "label", "listed")
"""Modes that ask after a history, each with a template of its own."""
FILES = ("history.j2", "about.j2", "item.j2", *(f"{mode}.j2" for mode in QUESTIONS))
"""All templates of a language; the first three are asked for whatever the mode."""
ANSWERS = ("Yes", "No")
"""What `yes_no.j2` asks for, after a space."""


@dataclass(frozen=True, slots=True)
class HistoryPrompt:
    """A rendered history: the text, how many of the latest items it shows, and how many it leaves out."""

    text: str
    shown: int
    dropped: int
    events: Mapping[str, int] = field(default_factory=dict)


class Prompter:
    """Renders one domain in one language.

    Args:
        domain: the domain; see `load_domain`.
        language: another language than the domain's own.
        catalogue: items over which numeric fields are normalised.
        prompts: a folder of templates that wins over all others.
        fields: the item fields that templates may show; all if None. Others are empty, or unknown if they are
            none of every item's.
        redact: takes out of each text of an item what shall not be shown, before it is cut to fit.

    Raises:
        TemplateError: the language is missing or a template is malformed.
    """

    def __init__(
        self,
        domain: Domain,
        *,
        language: str | None = None,
        catalogue: Sequence[Item] = (),
        prompts: Path | None = None,
        fields: Collection[str] | None = None,
        redact: Callable[[str], str] | None = None,
    ) -> None:
        self.domain = domain.speak(language)
        self._fields = None if fields is None else frozenset(fields)
        self._redact = redact
        self._own_language = domain.language
        self._search = search_path(prompts)
        self._sandbox = Sandbox(Folders(self._search, trusted=BUILT_IN))
        self._scalers = {f: Scaler.fit(catalogue, f, method=m) for f, m in self.domain.numeric.items()}
        self._words = {k: getattr(self.domain, k) for k in ("noun", "nouns", "person", "verb", "interests")}
        self._history_name, self._about_name, self._item_name = map(self._resolve, FILES[:3])

    def _resolve(self, file: str) -> str:
        """The domain's own template where it has one, else the base template of the language."""
        for option in self._places(file):
            if option in self._known:
                return option
        raise TemplateError(self._missing_files())

    @cached_property
    def _known(self) -> set[str]:
        return set(self._sandbox.list_templates())

    def _places(self, file: str) -> list[str]:
        """Where a template may lie, first match wins."""
        name, language = self.domain.name, self.domain.language
        places = [f"{name}/{language}/{file}", f"base/{language}/{file}"]
        if language == self._own_language:
            places.insert(1, f"{name}/{file}")
        return places

    def has(self, mode: str) -> bool:
        """Whether there is a template for one of `QUESTIONS`."""
        return not self._known.isdisjoint(self._places(f"{mode}.j2"))

    def _missing_files(self) -> str:
        """All templates that a language lacks, and what to copy: told one by one, it would be a hunt."""
        files = [file for file in FILES if self._known.isdisjoint(self._places(file))]
        language, places = self.domain.language, ", ".join(self._places("*.j2"))
        pattern = next(place / "base" / "en" for place in self._search if (place / "base" / "en").is_dir())
        return (
            f"There is no template {', '.join(files)} for language {language!r}. Looked for: {places}. "
            f"Copy the folder {pattern.resolve()} to base/{language} in your folder of templates (prompts/), "
            "and translate it, base/en in its extends lines too."
        )

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over all that can change a rendered prompt: words, templates, sanitising rules."""
        return self._digest([self._history_name, self._about_name, self._item_name])

    def fingerprint_for(self, mode: str) -> str:
        """The fingerprint of what a ranking mode renders; each of `QUESTIONS` has one of its own.

        Raises:
            TemplateError: a template of that mode is missing or malformed.
        """
        return self._digest([self._resolve(f"{mode}.j2")]) if mode in QUESTIONS else self.fingerprint

    def _digest(self, names: list[str]) -> str:
        digest = hashlib.sha256(f"{sanitise.VERSION}\0{self.domain.model_dump_json()}".encode())
        if hidden := self._hidden():
            digest.update(f"\0without {' '.join(hidden)}".encode())
        for name, source in self._sources(names):
            digest.update(f"\0{name}\0{source}".encode())
        return digest.hexdigest()[:16]

    def _hidden(self) -> list[str]:
        """Fields that every item has and templates may not show; to ask for any other is an error."""
        own = set(Item.model_fields) - {"item_id"}
        return [] if self._fields is None else sorted(own - self._fields)

    def _allowed(self, item: Item) -> Item:
        """The item with the fields that may be shown, and its id for messages."""
        if self._fields is None:
            return item
        values = item.model_dump()
        return Item(**{name: value for name, value in values.items() if name in {*self._fields, "item_id"}})

    def _sources(self, names: list[str]) -> Iterator[tuple[str, str]]:
        seen: set[str] = set()
        while names:
            name = names.pop(0)
            if name in seen:
                continue
            seen.add(name)
            try:
                source = self._sandbox.loader.get_source(self._sandbox, name)[0]  # type: ignore[union-attr]
                referenced = meta.find_referenced_templates(self._sandbox.parse(source))
                names += [n for n in referenced if n]
            except TemplateNotFound as error:
                raise TemplateError(f"Template {name!r} is extended or included but not there.") from error
            except (JinjaError, UnicodeDecodeError) as error:
                raise TemplateError(f"Template {name!r}: {' '.join(str(error).split())}.") from error
            yield name, source

    def line(self, item: Item, events: Counter[str] | None = None) -> str:
        """The item in one line, without the line end."""
        return self._line(item, self._view(item, events), events)

    def _line(self, item: Item, view: Mapping[str, Any], events: Counter[str] | None) -> str:
        name = f"{self.domain.name}/domain.yaml: item"
        text = self._of_item(item, view, name, events, source=self.domain.item)
        line = self._clean(text, 2 * self.domain.title_limit, events)
        if not line:
            raise TemplateError(f"Domain {self.domain.name!r}: the line of item {item.item_id!r} is empty.")
        return line

    def _of_item(
        self,
        item: Item,
        view: Mapping[str, Any],
        name: str,
        events: Counter[str] | None,
        *,
        source: str | None = None,
    ) -> str:
        """What a template says of one item; an error says of which, and what that one lacks."""
        try:
            return self._run(name, {"item": view, "domain": self._words}, events, source=source)
        except TemplateError as error:
            if isinstance(error.__cause__, TemplateSyntaxError):
                raise
            lacks = ", ".join(sorted(field for field, value in view.items() if value in ("", [], None)))
            which = f"Asked of item {item.item_id!r}{f', which has no {lacks}' if lacks else ''}."
            raise TemplateError(f"{error} {which}") from error

    def _run(
        self,
        name: str,
        variables: Mapping[str, Any],
        events: Counter[str] | None,
        *,
        source: str | None = None,
    ) -> str:
        """What a template says, and how many missing values it printed as nothing."""
        text = self._sandbox.run(name, variables, source=source)
        if events is not None and self._sandbox.missing:
            events["field_missing"] += self._sandbox.missing
        return text

    def continuation(self, item: Item, events: Counter[str] | None = None) -> str:
        """What is scored after a history: the item's line and the line end that says the title is over."""
        return self.line(item, events) + "\n"

    def about(self, item: Item) -> str:
        """The item's fuller text, for content scorers."""
        source = self.domain.about
        name = self._about_name if source is None else f"{self.domain.name}/domain.yaml: about"
        return " ".join(self._of_item(item, self._view(item, None), name, None, source=source).split())

    def events_of(self, items: Sequence[Item]) -> Counter[str]:
        """What happens in the lines of these items: texts cut to fit, values missing."""
        events: Counter[str] = Counter()
        for item in items:
            self.line(item, events)
        return events

    def item(self, item: Item, events: Counter[str] | None = None) -> str:
        """The item alone, as the encoder mode reads it: its state is taken at the line end that comes last.

        Raises:
            TemplateError: the template fails or says nothing.
        """
        text = self._of_item(item, self._view(item, events), self._item_name, events).strip()
        if not text:
            raise TemplateError(f"Template {self._item_name!r} says nothing of item {item.item_id!r}.")
        return text + "\n"

    def history(self, items: Sequence[Item], *, show: int | None = None) -> HistoryPrompt:
        """The prompt for a history (oldest first): its latest `show` items, the domain's number if None.

        The text ends in a line end, a boundary that no tokenizer merges with the next title.

        Raises:
            TemplateError: the template fails or does not end in a line end.
        """
        events: Counter[str] = Counter()
        variables = self._variables(items, show, events)
        text = self._run(self._history_name, variables, events)
        if not text.endswith("\n"):
            raise TemplateError(f"Template {self._history_name!r} must end in a line end.")
        shown = len(variables["history"])
        return HistoryPrompt(text, shown, len(items) - shown, dict(events))

    def _variables(self, items: Sequence[Item], show: int | None, events: Counter[str]) -> dict[str, Any]:
        """What `history.j2` and all that extend it may say."""
        limit = self.domain.history if show is None else show
        views = [self._lined(item, events) for item in (items[-limit:] if limit else ())]
        interests = derive_interests([self._allowed(item) for item in items])
        return {
            "domain": self._words,
            "history": views,
            "interests": {
                "categories": [self._clean(name, 60, events) for name, _ in interests.categories],
                "creators": [self._clean(name, 60, events) for name, _ in interests.creators],
            },
        }

    def _lined(self, item: Item, events: Counter[str]) -> dict[str, Any]:
        view = self._view(item, events)
        view["line"] = self._line(item, view, events)
        return view

    def yes_no(self, history: Sequence[Item], item: Item, *, show: int | None = None) -> str:
        """A question about one candidate after a history; ` Yes` or ` No` comes next.

        Raises:
            TemplateError: the template is missing or fails.
        """
        candidate = self._lined(item, Counter())
        return self._question("yes_no", history, show, {"candidate": candidate})

    def label(
        self,
        history: Sequence[Item],
        candidates: Sequence[Item],
        *,
        show: int | None = None,
        labels: Sequence[str] = LABELS,
    ) -> str:
        """The candidates under labels after a history; a space and a label comes next.

        Raises:
            TemplateError: the template is missing or fails, or there are more candidates than labels.
        """
        if len(candidates) > len(labels):
            raise TemplateError(
                f"{len(candidates)} candidates are more than {len(labels)} labels. Give fewer."
            )
        return self._question("label", history, show, self._labelled(candidates, labels))

    def listed(self, history: Sequence[Item], candidates: Sequence[Item], *, show: int | None = None) -> str:
        """The candidates under numbers from 1, to be put in order after a history.

        Raises:
            TemplateError: the template is missing or fails.
        """
        numbers = [str(number) for number, _ in enumerate(candidates, start=1)]
        return self._question("listed", history, show, self._labelled(candidates, numbers))

    def _labelled(self, candidates: Sequence[Item], labels: Sequence[str]) -> dict[str, Any]:
        views = [self._lined(item, Counter()) for item in candidates]
        return {"candidates": [{**view, "label": label} for view, label in zip(views, labels, strict=False)]}

    def _question(self, mode: str, history: Sequence[Item], show: int | None, more: Mapping[str, Any]) -> str:
        variables = {**self._variables(history, show, Counter()), **more}
        return self._sandbox.run(self._resolve(f"{mode}.j2"), variables).rstrip()

    def _view(self, item: Item, events: Counter[str] | None) -> dict[str, Any]:
        """The item as a template sees it: plain, cleaned values; numbers also normalised."""
        item = self._allowed(item)
        view: dict[str, Any] = {}
        for name, value in item.model_dump().items():
            limit = self.domain.title_limit if name == "title" else self.domain.text_limit
            if isinstance(value, str):
                view[name] = self._clean(value, limit, events if name == "title" else None)
            elif isinstance(value, list | tuple):
                view[name] = [self._clean(str(v), 60, None) for v in value[:MOST_PARTS] if v is not None]
            elif isinstance(value, int | float) or value is None:
                view[name] = value
        if self._fields is not None and "item_id" not in self._fields:
            del view["item_id"]
        view["natural_title"] = natural_title(view["title"])
        view["scaled"] = {name: scaler.transform(item) for name, scaler in self._scalers.items()}
        view["level"] = {name: scaler.level(item) for name, scaler in self._scalers.items()}
        return view

    def _clean(self, text: str, limit: int, events: Counter[str] | None) -> str:
        line, cut = sanitise.clean_text(text, limit, self._redact)
        if cut and events is not None:
            events["text_cut"] += 1
        return line
