"""Making user and item text harmless for a prompt: one line, no invisible characters, bounded length.

A title may not start a new line of the prompt (it would look like another item), hide characters from a
human reader, or push the history out of the context. It need not be cleared of template syntax or of
special-token look-alikes: it is only ever passed as a variable, and tokenised without special parsing.
"""

import re
import unicodedata
from collections.abc import Callable

from llmrec_prompt.data.catalogue import BLANKS

VERSION = 1
"""Part of every template fingerprint: a change of these rules changes prompts. (That `BLANKS`
vanish came later: no data that an adapter here was trained on has any, and all would have been refused.)"""

_SPACE = re.compile(r"\s+")
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn"}


def clean_text(text: str, limit: int, redact: Callable[[str], str] | None = None) -> tuple[str, bool]:
    r"""Fold a text to one visible line of at most `limit` characters; say whether it was cut.

    White space of any kind becomes one space; control, zero-width and other invisible characters vanish,
    selectors of variants (of emoji, for one) among them; the rest is put in Unicode normal form C. What
    `redact` takes out goes before the text is cut: half an address is not known for one.

    >>> clean_text("Alien\n3\u200b:  the\tfilm", 12)
    ('Alien 3: th…', True)
    """
    folded = _SPACE.sub(" ", text)
    visible = "".join(c for c in folded if c == " " or _is_drawn(c))
    line = _SPACE.sub(" ", unicodedata.normalize("NFC", visible)).strip()  # composes what now stands together
    line = redact(line) if redact else line
    return (line, False) if len(line) <= limit else (line[: limit - 1].rstrip() + "…", True)


def _is_drawn(character: str) -> bool:
    return unicodedata.category(character) not in _INVISIBLE and character not in BLANKS
