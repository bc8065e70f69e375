"""Adapters as things: folders with a card, found by name or domain, checked before use. No torch here."""

from llmrec_prompt.adapters.card import (
    Base,
    Card,
    Lora,
    Parent,
    Source,
    overlap,
    read_users,
    user_hash,
    write_users,
)
from llmrec_prompt.adapters.registry import Adapter, add, find, list_adapters, remove

__all__ = [
    "Adapter",
    "Base",
    "Card",
    "Lora",
    "Parent",
    "Source",
    "add",
    "find",
    "list_adapters",
    "overlap",
    "read_users",
    "remove",
    "user_hash",
    "write_users",
]
