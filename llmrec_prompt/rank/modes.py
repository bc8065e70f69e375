"""What modes are called: one way of ranking each, or several added up."""

from llmrec_prompt.errors import ConfigError, UnknownName
from llmrec_prompt.scorers import NEED_NO_HISTORY, SCORERS

ASKING = ("label", "listed", "yes_no")
"""Modes that put a question about the candidates to the model."""
PARTS = (*SCORERS, "likelihood", "encoder", *ASKING)
FUSIONS = ("fused", "stacked")
"""The default parts added up: with tuned weights, or with weights learnt from the logs."""
MODES = (*PARTS, *FUSIONS, "auto")


def parts_of(mode: str) -> tuple[str, ...]:
    """The parts of a sum in equal shares, such as `encoder+sasrec`; none of any other mode.

    >>> parts_of("encoder+sasrec"), parts_of("encoder")
    (('encoder', 'sasrec'), ())
    """
    return tuple(mode.split("+")) if "+" in mode else ()


def needs_history(mode: str) -> bool:
    """Whether a mode has nothing to say of a user of whom nothing is known.

    >>> needs_history("fused"), needs_history("popularity"), needs_history("bm25+popularity")
    (True, False, True)
    """
    return not {*(parts_of(mode) or (mode,))} <= {*NEED_NO_HISTORY}


def check_mode(mode: str, kind: str = "mode") -> None:
    """See that there is such a mode.

    Raises:
        UnknownName: neither one of `MODES` nor a sum of `PARTS`; `kind` is what it is called.
        ConfigError: a sum has a part twice.
    """
    parts = parts_of(mode)
    known = PARTS if parts else MODES
    for part in parts or (mode,):
        if part not in known:
            raise UnknownName(f"part of {kind} {mode!r}:" if parts else kind, part, known)
    if len(set(parts)) != len(parts):
        raise ConfigError(f"The {kind} {mode!r} has a part twice; all parts weigh the same. Name each once.")
