"""Downloads from the Hugging Face hub: named files of a repository, never its code or its pickles."""

from collections.abc import Sequence
from pathlib import Path

from llmrec_prompt.cache import offline
from llmrec_prompt.errors import LlmrecError, MissingExtra, first_line


def snapshot(hub_id: str, what: str, files: Sequence[str], error: type[LlmrecError]) -> Path:
    """The folder of a repository in the hub's own cache; with `LLMREC_OFFLINE` only from there.

    Args:
        hub_id: `org/name[@revision]`.
        what: what it is, for messages.
        files: patterns of the files to get; nothing else is fetched.
        error: raised if it cannot be had.

    Raises:
        MissingExtra: huggingface_hub is not installed.
        LlmrecError: `error`: there is no such repository, or no network.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError as missing:
        raise MissingExtra(f"{what} from the hub", "hf") from missing
    name, _, revision = hub_id.partition("@")
    try:
        found = snapshot_download(
            name, revision=revision or None, allow_patterns=list(files), local_files_only=offline()
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as cause:
        reason = first_line(cause)
        hint = "LLMREC_OFFLINE is set: unset it to download." if offline() else "Check name and network."
        raise error(f"Cannot get {what} {hub_id!r} from the hub: {reason}. {hint}") from cause
    return Path(found)
