"""Several processes that train one adapter together, one a GPU, as torchrun starts them.

Each has the whole model and learns from lessons of its own; gradients are averaged. The first of them
judges and writes, and tells the others what it found.
"""

import atexit
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from llmrec_prompt.errors import ConfigError, LlmrecError, MissingExtra

T = TypeVar("T")
PATIENCE = timedelta(hours=6)
"""So long the others wait while the first one reads a catalogue."""


def count() -> int:
    """How many train together; 1 where nobody started several."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1


def setting() -> dict[str, int]:
    """What a run and a card say of it: nothing where there is one, as it was before there could be more."""
    return {"processes": count()} if count() > 1 else {}


def is_first() -> bool:
    """Whether this one writes and speaks."""
    return count() == 1 or os.environ["RANK"] == "0"


def join() -> None:
    """Meet the others and take a GPU of one's own. Doing it twice changes nothing.

    Raises:
        MissingExtra: torch is not installed.
    """
    try:
        import torch
        from torch import distributed
    except ImportError as error:
        raise MissingExtra("Training", "train") from error
    if count() == 1 or distributed.is_initialized():
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    atexit.register(distributed.destroy_process_group)


def by_first(work: Callable[[], T]) -> T:
    """What `work` gives in the first process, in all of them; where it fails there, all end.

    Raises:
        LlmrecError: what the first one raised, in the others with the same message.
    """
    if count() == 1:
        return work()
    from torch import distributed

    told: list[Any] = [None, None]
    if is_first():
        try:
            told[0] = work()
        except Exception as error:
            distributed.broadcast_object_list([None, str(error) or repr(error)], src=0)
            raise
    distributed.broadcast_object_list(told, src=0)
    if told[1] is not None:
        raise LlmrecError(told[1])
    return told[0]  # type: ignore[no-any-return]


def first_alone_first(work: Callable[[], T]) -> T:
    """`work` in every process, but in the others only once the first is done: what it kept they find."""
    found: list[T] = []
    by_first(lambda: found.append(work()))
    return found[0] if found else work()


def refuse(command: str) -> None:
    """Stop what would be done, and written, once by each of several processes.

    Raises:
        ConfigError: there are several.
    """
    if count() > 1:
        raise ConfigError(
            f"{command} is for one process, and {count()} were started. Start it without torchrun."
        )


def unused(gpus: int) -> str | None:
    """One line to whoever leaves GPUs unused; None where none is."""
    if count() > 1 or gpus < 2:
        return None
    return (
        f"1 of {gpus} GPUs is used. For all of them: torchrun --nproc-per-node {gpus} -m llmrec_prompt adapt "
        f"train ...; a step then learns from {gpus} batches."
    )
