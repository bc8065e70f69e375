"""LoRA adapters on a loaded GGUF model: each read once for as long as its files stay the same."""

from pathlib import Path
from typing import Any

from llmrec_prompt.adapters.gguf import Shape, twin
from llmrec_prompt.adapters.weights import file_state
from llmrec_prompt.backends.llama_cpp.engine import Model
from llmrec_prompt.errors import AdapterError


class Adapters:
    """What `use` switches between: PEFT folders, by way of their GGUF twins, and GGUF LoRA files."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._loaded: dict[tuple[str, tuple[int, ...]], Any] = {}

    def get(self, adapter: str) -> Any:
        """The adapter of a folder or file, ready to be switched on.

        Raises:
            AdapterError: there is none, or it does not fit this base.
            MissingExtra: a folder, and the gguf package is not installed.
        """
        path = Path(adapter)
        key = (adapter, file_state(path))
        if key not in self._loaded:
            self._loaded[key] = self._load(path)
        return self._loaded[key]

    def _load(self, path: Path) -> Any:
        if not path.is_dir():
            return self._model.load_adapter(path)
        with twin(path, Shape.of(self._model.metadata)) as file:
            try:
                return self._model.load_adapter(file)
            except AdapterError as error:
                raise AdapterError(
                    f"The adapter {path} does not fit this base. Load the model it was trained on."
                ) from error
