"""`python -m llmrec_prompt` is `llmrec`."""

from llmrec_prompt.cli import main

main()
