"""Models behind an OpenAI-compatible server, asked only where the user has allowed it."""

from llmrec_prompt.backends.openai.options import Hosted, Previewed, hosting, permitted

__all__ = ["Hosted", "Previewed", "hosting", "permitted"]
