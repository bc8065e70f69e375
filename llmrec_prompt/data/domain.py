"""Which domain a data set belongs to, read off its meta.json. Knows no files."""

import logging
import re
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)
GENERIC = "generic"
DOMAINS = frozenset(
    {"movies", "books", "music", "games", "shopping", "news", "social", "hotels", "travel", "restaurants"}
)
ALIASES = {"products": "shopping"}
NAMED = re.compile(r"([a-z0-9][a-z0-9_-]*)\s*(\(.*\))?")
"""A name alone, or with a remark in brackets."""


def domain_of(meta: Mapping[str, Any]) -> str:
    """The domain that meta["domain"] names, or "generic".

    A name that is none of `DOMAINS` is one of the user's own, looked up where prompts are (`load_domain`
    refuses one that is not there). Words that begin with one of `DOMAINS` are that one; other words are
    "generic", and a warning says so.

    >>> domain_of({"domain": "books (lending library)"}), domain_of({"domain": "stamps"}), domain_of({})
    ('books', 'stamps', 'generic')
    """
    said = str(meta.get("domain") or "").strip().lower()
    name = NAMED.fullmatch(said)
    words = [name.group(1)] if name else re.findall(r"[a-z]+", said)
    first = ALIASES.get(words[0], words[0]) if words else GENERIC
    if name or first in DOMAINS or not said:
        return first
    log.warning(
        "The domain %r of the data set is no name of a domain: its prompts are those of 'generic'. Name one "
        "of `llmrec prompts list` in meta.json, or say --domain.",
        meta["domain"],
    )
    return GENERIC
