"""What never leaves this machine: fields nobody allowed, and what looks like a person's own numbers."""

import re
from collections.abc import Iterator, Sequence

FIELDS = ("title", "categories", "description", "creator", "year", "tags", "price")
"""Item fields that may be sent unless the user says otherwise; of users there is none."""
EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
DIGITS = re.compile(r"\d+")
RUN = re.compile("\\d(?:[ .\u00a0\u2007\u2009\u202f\u2010-\u2015-]?\\d)*")
"""Digits and what people write between groups of them: blanks of all kinds, dots, dashes."""
PHONE = re.compile(
    r"(?<![\w.,])(?:\+\d|\(\+?\d|0\d)(?:[ ()./-]{0,2}\d){6,13}(?!\w)"
    r"|(?<![\w.,-])\d{3}[-. ]\d{3}[-. ]\d{4}(?![\w-])"
)
"""With a plus, a bracket or a zero in front, or in the American groups: a list of years is no number."""


class Redactor:
    """Puts a word in place of what shall not be sent; line by line, for no pattern spans lines.

    >>> Redactor()("Write to a.b@example.org or +49 30 1234567")
    'Write to [e-mail] or [phone]'

    Args:
        patterns: further regular expressions.

    Raises:
        ValueError: one is none.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        try:
            self._own = [re.compile(pattern) for pattern in patterns]
        except re.error as error:
            raise ValueError(f"{error.pattern!r} is no regular expression: {error}") from error

    def __call__(self, text: str) -> str:
        """The text without them."""
        text = EMAIL.sub("[e-mail]", text)
        text = RUN.sub(lambda found: without_cards(found[0]), text)
        text = PHONE.sub("[phone]", text)
        for pattern in self._own:
            text = pattern.sub("[redacted]", text)
        return text


def without_cards(run: str) -> str:
    """A run of digits without what may be card numbers; where two overlap, both are taken out as one.

    >>> without_cards("5 4111 1111 1111 1111 12")
    '5 [card] 12'
    """
    merged: list[list[int]] = []
    for begin, end in _cards(run):
        if merged and begin < merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([begin, end])
    for begin, end in reversed(merged):
        run = f"{run[:begin]}[card]{run[end:]}"
    return run


def _cards(run: str) -> Iterator[tuple[int, int]]:
    """Where neighbouring groups have 13 to 19 digits together (ISO/IEC 7812) and pass Luhn's check."""
    groups = list(DIGITS.finditer(run))
    for place, first in enumerate(groups):
        number = ""
        for last in groups[place:]:
            number += last[0]
            if len(number) > 19:
                break
            if len(number) >= 13 and luhn(number):
                yield first.start(), last.end()


def luhn(number: str) -> bool:
    """Whether the digits pass the check of payment cards (Luhn, US patent 2,950,048).

    >>> luhn("4111 1111 1111 1111"), luhn("4111 1111 1111 1112")
    (True, False)
    """
    digits = [int(c) for c in reversed(number) if c.isdigit()]
    doubled = [sum(divmod(2 * d, 10)) for d in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
