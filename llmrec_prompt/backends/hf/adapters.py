"""PEFT adapters on a loaded model: several in memory, one or none in force. The base stays as it is."""

import contextlib
import importlib
import warnings
from pathlib import Path
from typing import Any

from llmrec_prompt.adapters.card import CONFIG, WEIGHTS
from llmrec_prompt.adapters.config import peft_faults, read_config
from llmrec_prompt.adapters.weights import file_state
from llmrec_prompt.backends.models import LoadedAdapter, adapter_identity
from llmrec_prompt.errors import AdapterError, MissingExtra, first_line

try:
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file
except ImportError as error:
    raise MissingExtra("The hf backend", "hf") from error

PREFIX = "base_model.model."
MISFITS = ("weights missing", "size mismatch", "not found in the base model")
"""What an error says where an adapter is for another network: ours, torch's and peft's words."""


class Adapters:
    """LoRA adapters for one model, each loaded once for as long as its files stay the same."""

    def __init__(self, model: Any) -> None:
        # peft takes long to import; better while a model loads than in the first switch.
        with contextlib.suppress(ImportError):
            importlib.import_module("peft")
        self._model = model
        self._peft: Any = None
        self._layers: list[Any] = []
        self._current: str | None = None
        self._loaded: dict[str, LoadedAdapter] = {}
        self._count = 0

    def use(self, folder: str | None) -> str:
        """Put the adapter in a folder in force, or none; says which one it is: a hash, empty for none.

        Raises:
            AdapterError: the folder holds no LoRA in safetensors for this base.
            MissingExtra: peft is not installed.
        """
        loaded = None if folder is None else self._load(Path(folder))
        self._current = loaded.handle if loaded else None
        self._switch(self._current)
        return loaded.hash if loaded else ""

    def _switch(self, name: str | None) -> None:
        """Flip every adapted layer to one adapter, or none.

        peft's own `set_adapter` walks all modules and sets which weights want gradients, tens of milliseconds
        for what is one attribute a layer; nothing here is trained. Should peft keep that attribute
        elsewhere one day, its own way serves.
        """
        for layer in self._layers:
            layer._disable_adapters = name is None
            if name is not None:
                layer._active_adapter = [name]
        if not self._layers or _in_force(self._layers[0]) == name:
            return
        if name is None:
            self._peft.base_model.disable_adapter_layers()
        else:
            self._peft.base_model.enable_adapter_layers()
            self._peft.set_adapter(name)

    def _load(self, folder: Path) -> LoadedAdapter:
        """Read a folder, again where its files have changed; then what was read before is let go."""
        key, state = str(folder.resolve()), file_state(folder)
        known = self._loaded.get(key)
        if known is not None and known.state == state:
            return known
        check_adapter(self._model, folder)
        self._count += 1
        fresh = LoadedAdapter(state, f"adapter{self._count}", adapter_identity(str(folder)))
        self._attach(folder, fresh.handle)
        self._loaded[key] = fresh
        if known is not None:
            self._switch(fresh.handle)
            self._peft.delete_adapter(known.handle)
        return fresh

    def _attach(self, folder: Path, name: str) -> None:
        try:
            from peft.tuners.tuners_utils import BaseTunerLayer
        except ImportError as error:
            raise MissingExtra("An adapter on the hf backend", "hf") from error
        try:
            self._inject(folder, name)
        except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
            if self._peft is not None and name in self._peft.peft_config:
                self._peft.delete_adapter(name)
            raise AdapterError(
                f"peft cannot put the adapter {folder} on this base: {_reason(error, folder)}"
            ) from error
        finally:
            self._model.eval()  # fresh layers are in training mode, with dropout
            self._layers = [module for module in self._model.modules() if isinstance(module, BaseTunerLayer)]
            self._switch(self._current)  # which peft may have changed

    def _inject(self, folder: Path, name: str) -> None:
        from peft import LoraConfig, PeftModel, set_peft_model_state_dict

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft's deprecated calls; what matters is checked here
            config = LoraConfig.from_pretrained(str(folder), inference_mode=True)
            if self._peft is None:
                self._peft = PeftModel(self._model, config, adapter_name=name, low_cpu_mem_usage=True)
            else:
                self._peft.add_adapter(name, config, low_cpu_mem_usage=True)
            weights = {key: tensor.float() for key, tensor in load_file(folder / WEIGHTS).items()}
            found = set_peft_model_state_dict(self._peft, weights, name, low_cpu_mem_usage=True)
        missing = [key for key in found.missing_keys if f".{name}." in f"{key}."]
        if missing or found.unexpected_keys:
            raise ValueError(f"{len(missing)} weights missing, {len(found.unexpected_keys)} left over")


def _reason(error: Exception, folder: Path) -> str:
    """What happened and what to do; another adapter helps only where this one does not fit the base."""
    if any(words in str(error) for words in MISFITS):
        return f"{first_line(error)}. Train one for this model."
    name = type(error).__name__
    return f"{name}: {first_line(error)}. Look it over with `llmrec adapters verify {folder}`."


def _in_force(layer: Any) -> str | None:
    return None if layer.disable_adapters else "+".join(layer.active_adapters)


def check_adapter(model: Any, folder: Path) -> None:
    """Refuse whatever is not a LoRA on this model's own linear layers, before anything is changed.

    Raises:
        AdapterError: a file is missing or unreadable, it asks for more than LoRA, or a weight fits nowhere.
    """
    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise AdapterError(f"{folder} is no adapter. Give a PEFT folder with {CONFIG} and {WEIGHTS}.")
    faults = peft_faults(read_config(folder))
    try:
        with safe_open(folder / WEIGHTS, "np") as file:
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise AdapterError(f"The adapter {folder} cannot be read: {first_line(error)}.") from error
    if faults or not shapes:
        raise AdapterError(
            f"The adapter {folder} is no LoRA that peft may load here: {'; '.join(faults) or 'no weights'}. "
            f"Look it over with `llmrec adapters verify {folder}`."
        )
    modules = dict(model.named_modules())
    for key, shape in shapes.items():
        _check_weight(modules, folder, key, shape)


def _check_weight(modules: dict[str, Any], folder: Path, key: str, shape: tuple[int, ...]) -> None:
    path, _, part = key.removeprefix(PREFIX).rpartition(".lora_")
    module = modules.get(path)
    side = {"A.weight": (1, "in_features"), "B.weight": (0, "out_features")}.get(part)
    fits = side and len(shape) == 2 and shape[side[0]] == getattr(module, side[1], None)
    if not fits:
        raise AdapterError(
            f"The adapter {folder} does not fit this base: {key} of shape {shape}. Train one for this model."
        )
