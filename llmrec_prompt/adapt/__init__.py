"""Training adapters: transfer to new domains and what it gives. Heavy packages are imported late."""

from llmrec_prompt.adapt.recipe import Lora, Recipe, Source, Stage

__all__ = ["Lora", "Recipe", "Source", "Stage"]
