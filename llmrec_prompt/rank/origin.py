"""What a score of a language model comes from: the model, its adapter, the template."""

from typing import Any

from llmrec_prompt.adapters import Card
from llmrec_prompt.backends import Backend
from llmrec_prompt.templates import Prompter


def model_origin(backend: Backend, prompter: Prompter, card: Card | None, mode: str = "") -> dict[str, Any]:
    """The fields of a `Provenance` that say so; an adapter is called by its card's name, else by its path.

    Args:
        backend: the model.
        prompter: whose templates were rendered.
        card: of the adapter in force, if it has one.
        mode: the mode, where its templates are its own.
    """
    return {
        "model": backend.info.ref,
        "model_hash": backend.info.hash,
        "adapter": card.name if card else backend.adapter or "",
        "adapter_hash": backend.adapter_hash,
        "template_fingerprint": prompter.fingerprint_for(mode),
    }


def learnt_in(card: Card | None, domain: str) -> bool:
    """Whether an adapter learnt in a domain what is liked after what; unlabelled histories do not say it."""
    return card is not None and domain in card.templates and domain not in card.unlabelled


def foreign_domain(card: Card | None, prompter: Prompter) -> dict[str, int]:
    """Event `adapter_foreign_domain`: an adapter's training had no prompt of this domain."""
    return {"adapter_foreign_domain": 1} if card and prompter.domain.name not in card.templates else {}
