"""LoRA adapters on a loaded GGUF model: each read once for as long as its files stay the same."""

from pathlib import Path
from typing import Any

from llmrec_prompt.adapters.gguf import Shape, twin
from llmrec_prompt.adapters.weights import file_state
from llmrec_prompt.backends.llama_cpp.engine import Model
from llmrec_prompt.backends.models import LoadedAdapter, adapter_identity
from llmrec_prompt.errors import AdapterError


class Adapters:
    """What `use` switches between: PEFT folders, by way of their GGUF twins, and GGUF LoRA files."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._loaded: dict[str, LoadedAdapter] = {}
        self._replaced: list[LoadedAdapter] = []

    def get(self, adapter: str) -> LoadedAdapter:
        """The adapter of a folder or file, ready to be switched on; read anew where its files have changed.

        Raises:
            AdapterError: there is none, or it does not fit this base.
            MissingExtra: a folder, and the gguf package is not installed.
        """
        path = Path(adapter)
        state = file_state(path)
        known = self._loaded.get(adapter)
        if known is None or known.state != state:
            self._loaded[adapter] = LoadedAdapter(state, self._load(path), adapter_identity(adapter))
            self._replaced += [known] if known else []
        return self._loaded[adapter]

    def free_replaced(self) -> None:
        """Free what was replaced by newer files, once no context has it in force."""
        while self._replaced:
            self._model.free_adapter(self._replaced.pop().handle)

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
