"""Adapters as things: folders with a card, found by name or domain, checked before use. No torch here."""

from llmrec_prompt.adapters.card import (
    Base,
    Card,
    Lora,
    Parent,
    Source,
    all_terms,
)
from llmrec_prompt.adapters.embedded import is_twin, texts_in
from llmrec_prompt.adapters.modelcard import readme, write_readme
from llmrec_prompt.adapters.registry import (
    Adapter,
    add,
    find,
    find_served,
    for_domain,
    list_adapters,
    remove,
)
from llmrec_prompt.adapters.users import (
    count_users,
    hashes_of,
    overlap,
    read_users,
    user_hash,
    write_users,
)
from llmrec_prompt.adapters.verify import Check, require_sound, verify

__all__ = [
    "Adapter",
    "Base",
    "Card",
    "Check",
    "Lora",
    "Parent",
    "Source",
    "add",
    "all_terms",
    "count_users",
    "find",
    "find_served",
    "for_domain",
    "hashes_of",
    "is_twin",
    "list_adapters",
    "overlap",
    "read_users",
    "readme",
    "remove",
    "require_sound",
    "texts_in",
    "user_hash",
    "verify",
    "write_readme",
    "write_users",
]
