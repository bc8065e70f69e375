"""Folders that are written to when the work is done: looked at before it begins."""

import os
from pathlib import Path

from llmrec_prompt.errors import ConfigError


def check_writable(folder: Path, option: str) -> None:
    """See that a folder can be made or written to; makes nothing.

    Args:
        folder: where something will go.
        option: what sets it, for the message.

    Raises:
        ConfigError: the place is a file, or may not be written to.
    """
    place = next(p for p in (folder, *folder.absolute().parents) if os.path.exists(p))
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        why = "may not be written to" if place.is_dir() else "is no folder"
        raise ConfigError(f"Nothing can be written to {folder}: {place} {why}. Give another {option}.")
