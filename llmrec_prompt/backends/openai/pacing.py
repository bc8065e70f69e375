"""How much more a server takes, by what it says in the headers of its replies.

`x-ratelimit-remaining-requests: 0` and `x-ratelimit-reset-requests: 6m0s`, and the same of tokens (OpenAI's
API reference, "Rate limits"; vLLM's and others' gateways send them too). A request that is sent before the
reset is refused with 429 and tried again; one that waits is not.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping

KINDS = ("requests", "tokens")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
MOST_S = UNITS["d"]
"""Longer than a day no server keeps anybody waiting."""
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
TOLD_S = 5.0
"""Whoever waits longer is told."""
LOOK_S = 0.1
"""Who waits looks so often whether all is over."""
logger = logging.getLogger(__name__)


class Pace:
    """When the next request may be sent."""

    def __init__(self) -> None:
        self._open = 0.0

    def hear(self, headers: Mapping[str, str]) -> None:
        """Take note of a reply's headers."""
        for kind in KINDS:
            if headers.get(f"x-ratelimit-remaining-{kind}", "").strip() == "0":
                left = seconds(headers.get(f"x-ratelimit-reset-{kind}", ""))
                if left > TOLD_S:
                    logger.warning("The server takes no more %s for %.0f s; waiting.", kind, left)
                self._open = max(self._open, time.monotonic() + left)

    async def wait(self, over: Callable[[], bool]) -> None:
        """Until the server takes more, or all is over."""
        while (left := self._open - time.monotonic()) > 0 and not over():
            await asyncio.sleep(min(left, LOOK_S))


def seconds(text: str) -> float:
    """A duration as servers write it, a day at most; 0 where it is none, as a moment in time is not.

    >>> seconds("6m0s"), seconds("120ms"), seconds("1.5"), seconds("1764170000"), seconds("soon")
    (360.0, 0.12, 1.5, 0.0, 0.0)
    >>> seconds("9999d")
    86400.0
    """
    text = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text) if float(text) <= MOST_S else 0.0
    if not re.fullmatch(f"(?:{DURATION.pattern})+", text):
        return 0.0
    return min(MOST_S, sum(float(number) * UNITS[unit] for number, unit in DURATION.findall(text)))
