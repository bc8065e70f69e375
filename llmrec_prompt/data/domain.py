"""Which domain a data set belongs to, read off its meta.json. Knows no files."""

import re
from collections.abc import Mapping
from typing import Any

GENERIC = "generic"
DOMAINS = frozenset(
    {"movies", "books", "music", "games", "shopping", "news", "social", "hotels", "travel", "restaurants"}
)
ALIASES = {"products": "shopping"}


def domain_of(meta: Mapping[str, Any]) -> str:
    """The domain named by the first word of meta["domain"], or "generic".

    >>> domain_of({"domain": "books (lending library)"}), domain_of({"domain": "stamps"})
    ('books', 'generic')
    """
    words = re.findall(r"[a-z]+", str(meta.get("domain", "")).lower())
    first = ALIASES.get(words[0], words[0]) if words else GENERIC
    return first if first in DOMAINS else GENERIC
