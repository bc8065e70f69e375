"""What an adapter learnt of a domain."""

from llmrec_prompt.adapters import Card
from llmrec_prompt.templates import Prompter


def learnt_in(card: Card | None, domain: str) -> bool:
    """Whether an adapter learnt in a domain what is liked after what; unlabelled histories do not say it."""
    return card is not None and domain in card.templates and domain not in card.unlabelled


def foreign_domain(card: Card | None, prompter: Prompter) -> dict[str, int]:
    """Event `adapter_foreign_domain`: an adapter's training had no prompt of this domain."""
    return {"adapter_foreign_domain": 1} if card and prompter.domain.name not in card.templates else {}
