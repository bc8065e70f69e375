"""Templates from folders, and from nowhere else."""

from collections.abc import Callable, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from jinja2.exceptions import SecurityError


class Folders(FileSystemLoader):
    """Jinja's loader, which follows no link out of a folder: the text of any file would stand in a prompt.

    Folders in `trusted` may be made of links, as some installers make them.
    """

    def __init__(self, folders: Sequence[Path], *, trusted: Sequence[Path] = ()) -> None:
        super().__init__(folders)
        self._folders = [folder.resolve() for folder in folders]
        self._trusted = [folder.resolve() for folder in trusted]

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        """As Jinja's.

        Raises:
            SecurityError: it is a link to a file elsewhere.
        """
        text, file, unchanged = super().get_source(environment, template)
        inside = any(Path(file).resolve().is_relative_to(folder) for folder in self._folders)
        if not inside and not any(Path(file).absolute().is_relative_to(folder) for folder in self._trusted):
            raise SecurityError(f"{file} is a link to a file outside of its folder; put the file there")
        return text, file, unchanged
