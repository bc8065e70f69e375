"""Every error this library raises on purpose.

    LlmrecError
    ├── ConfigError            a setting, recipe or suite that cannot be meant
    ├── DataError              a file, row or data set that cannot be read as asked
    ├── TemplateError          a template or domain.yaml that cannot be rendered
    ├── AdapterError           an adapter that does not belong to this base or template
    ├── UnknownName            a name nobody registered; says what there is
    ├── Unsupported            a capability the chosen backend does not have
    ├── MissingExtra           an optional package is not installed; says how to get it
    └── BackendError           the model or server failed
        ├── ContextOverflow    the prompt does not fit into the model's context
        ├── AnswerError        the model answered, but not as it was asked to
        └── BudgetExceeded     a call was not made because it could pass the budget

Each message says what was asked, what was found, and what to do, in one line.
"""

from collections.abc import Iterable
from difflib import get_close_matches


def first_line(error: Exception) -> str:
    r"""What another library's error says, as a part of our own message: one line, never empty.

    >>> first_line(OSError("No such file.\nSee the docs.")), first_line(KeyError())
    ('No such file', 'KeyError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint at the nearest of the known names, empty if none is near.

    >>> did_you_mean("titel", ["title", "year"])
    " Did you mean 'title'?"
    """
    close = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""


class LlmrecError(Exception):
    """Root of the tree; catching it catches all that this library raises on purpose."""


class ConfigError(LlmrecError):
    """A setting that cannot be meant."""


class DataError(LlmrecError):
    """A file, row or data set that cannot be read as asked."""


class TemplateError(LlmrecError):
    """A template or domain.yaml that cannot be loaded or rendered."""


class AdapterError(LlmrecError):
    """An adapter that does not belong to this base model or template."""


class UnknownName(LlmrecError):
    """A name nobody registered. Of private names the message tells how many there are, and none."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, private: bool = False) -> None:
        self.kind, self.name = kind, name
        names = sorted(known)
        if private:
            super().__init__(f"Unknown {kind} {name!r}; there are {len(names)}. Check the id.")
            return
        shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
        super().__init__(f"Unknown {kind} {name!r}.{did_you_mean(name, names)} Available: {shown or 'none'}.")


class Unsupported(LlmrecError):
    """A capability the chosen backend does not have."""


class MissingExtra(LlmrecError, ImportError):
    """An optional package is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f'{what} needs extra packages. Run: pip install "llmrec-prompt[{extra}]"')
        self.extra = extra


class BackendError(LlmrecError):
    """The model or the server failed; `retryable` says whether trying again can help."""

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class ContextOverflow(BackendError):
    """The prompt and its longest continuation need more tokens than the model's context holds."""

    def __init__(self, needed: int, available: int) -> None:
        super().__init__(
            f"A prompt needs {needed} tokens but the context holds {available}. "
            "Show a shorter history or load the model with a larger context."
        )
        self.needed, self.available = needed, available


class AnswerError(BackendError):
    """The model answered, but not as it was asked to; asking the same again gives the same."""

    def __init__(self, message: str, *, kind: str, text: str = "") -> None:
        super().__init__(message)
        self.kind, self.text = kind, text


class BudgetExceeded(BackendError):
    """A call was not made because it could have passed the budget."""
