"""From items to text: domains, Jinja templates in a sandbox, sanitised fields. Knows no models."""

from llmrec_prompt.templates.domain import Domain, list_domains, load_domain, new_domain, search_path
from llmrec_prompt.templates.prompter import HistoryPrompt, Prompter
from llmrec_prompt.templates.sanitise import clean_text

__all__ = [
    "Domain",
    "HistoryPrompt",
    "Prompter",
    "clean_text",
    "list_domains",
    "load_domain",
    "new_domain",
    "search_path",
]
