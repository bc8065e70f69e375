"""What a ledger comes to, for tests and for `eval/bench/hosted.py`."""

import json
from pathlib import Path
from typing import Any


def summarise(path: Path) -> dict[str, Any]:
    """Totals of a ledger: calls, attempts, tokens, money, errors by kind."""
    total: dict[str, Any] = {"calls": 0, "stored": 0, "failed": 0, "attempts": 0, "errors": {}}
    total |= {"tokens_sent": 0, "tokens_answered": 0, "tokens_cached": 0, "money": 0.0}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        total["stored" if row["status"] == "stored" else "calls"] += 1
        total["failed"] += row["status"] not in ("ok", "stored")
        for name in ("attempts", "tokens_sent", "tokens_answered", "tokens_cached", "money"):
            total[name] += row.get(name) or 0
        for kind, count in row.get("errors", {}).items():
            total["errors"][kind] = total["errors"].get(kind, 0) + count
    return total
