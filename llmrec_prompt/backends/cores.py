"""How many threads a local engine may use."""

import contextlib
import math
import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Of a container: microseconds of processor time in a period, and the period (Linux cgroup v2)."""


def usable_cores() -> int:
    """Cores that this process may use.

    `OMP_NUM_THREADS` if set, which torch goes by too; else the fewest of the machine's, the process's
    (affinity) and the container's (quota). An engine with more threads than cores has them wait for each
    other.
    """
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(own, _quota() or own))


def _quota() -> int | None:
    """Whole cores' worth of the container's quota, a begun one counted; None without one."""
    with contextlib.suppress(OSError, ValueError):
        time, period = QUOTA.read_text().split()
        return math.ceil(int(time) / int(period))  # "max" is no number: no quota
    return None
