"""PEFT's adapter_config.json: read, and looked over before peft or anything else acts on it.

An adapter may come from anybody. peft obeys its configuration to the letter: it copies or changes layers of
the base, and takes some strings for regular expressions, which may never end.
"""

import os
import re
import reprlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llmrec_prompt.adapters.card import CONFIG, WEIGHTS
from llmrec_prompt.errors import AdapterError
from llmrec_prompt.reading import read_json

MAX_RANK = 64
"""The largest rank that peft, vLLM and llama.cpp all load without special settings."""
LARGEST = 4096
"""The largest rank, and layer number, that anything here is asked about."""
PLAIN = re.compile(r"\^?[\w.-]+")
"""What names modules and, read as a regular expression, has no choice to try out."""


def _rank(value: Any) -> bool:
    return type(value) is int and 1 <= value <= LARGEST


def _number(value: Any) -> bool:
    return type(value) in (int, float) and -1e9 < value < 1e9


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) and PLAIN.fullmatch(v) for v in value)


def _layers(value: Any) -> bool:
    numbers = value if isinstance(value, list) else [value]
    return value is None or all(type(n) is int and 0 <= n < LARGEST for n in numbers)


def _pattern(value: Any, fits: Callable[[Any], bool]) -> bool:
    return not value or (isinstance(value, dict) and _names([*value]) and all(map(fits, value.values())))


SUPPORTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "peft_type": (lambda value: value == "LORA", "'LORA'"),
    "r": (_rank, f"1 to {LARGEST}"),
    "lora_alpha": (_number, "a number"),
    "lora_dropout": (lambda value: _number(value) and 0 <= value <= 1, "0 to 1"),
    "target_modules": (lambda value: value in (None, "all-linear") or _names(value), "a list of plain names"),
    "exclude_modules": (lambda value: value is None or _names(value), "a list of plain names"),
    "layers_pattern": (lambda value: not value or _names(value) or _names([value]), "plain names"),
    "layers_to_transform": (_layers, "numbers of layers"),
    "rank_pattern": (lambda value: _pattern(value, _rank), "ranks by plain names"),
    "alpha_pattern": (lambda value: _pattern(value, _number), "numbers by plain names"),
    "bias": (lambda value: value == "none", "'none', which trains no biases"),
    "use_rslora": (lambda value: isinstance(value, bool), "true or false"),
    # Others, such as pissa and olora, take from the base what they begin with.
    "init_lora_weights": (
        lambda value: isinstance(value, bool) or value == "gaussian",
        "a bool or 'gaussian'",
    ),
}
"""Keys that an adapter may set: what fits, and in words."""
NEEDED = {"peft_type", "r", "lora_alpha"}
UNHEEDED = {
    "auto_mapping",
    "base_model_name_or_path",
    "inference_mode",
    "peft_version",
    "revision",
    "task_type",
}
"""Keys that may say anything: nothing here acts on them."""
DEFAULTS = {"megatron_core": "megatron.core", "qalora_group_size": 16}
"""What peft writes where nobody chose anything, unless it is empty."""


def read_config(folder: Path) -> dict[str, Any]:
    """PEFT's adapter_config.json.

    Raises:
        AdapterError: it is missing or no JSON object.
    """
    path = folder / CONFIG
    if not os.path.isfile(path):
        raise AdapterError(f"{folder} is no adapter. Give a PEFT folder with {CONFIG} and {WEIGHTS}.")
    config = read_json(path, AdapterError)
    if not isinstance(config, dict):
        raise AdapterError(f"{path} is no JSON object.")
    return config


def peft_faults(config: Mapping[str, Any]) -> list[str]:
    """Why peft must not be given a configuration: it asks for more than LoRA beside an untouched base.

    Keys that are not known here must be empty, since peft learns new ones with every version.
    """
    faults = [
        f"its {key} is {reprlib.repr(config.get(key))}, not {wanted}"
        for key, (fits, wanted) in SUPPORTED.items()
        if key in config.keys() | NEEDED and not fits(config.get(key))
    ]
    others = config.keys() - SUPPORTED.keys() - UNHEEDED
    faults += [f"{key} is set" for key in sorted(others) if config[key] and config[key] != DEFAULTS.get(key)]
    return faults


def config_faults(config: Mapping[str, Any]) -> list[str]:
    """Why peft, vLLM and llama.cpp would not all load an adapter of this configuration alike."""
    if faults := peft_faults(config):
        return faults
    if config["r"] > MAX_RANK:
        faults.append(f"its r is {config['r']}, not 1 to {MAX_RANK}")
    return faults + [f"{key} is not empty" for key in ("rank_pattern", "alpha_pattern") if config.get(key)]


def alpha_of(config: Mapping[str, Any]) -> float:
    """The alpha for which scale = alpha / r: PEFT's own, or for rsLoRA (scale = alpha / sqrt(r)) its like."""
    alpha = float(config["lora_alpha"])
    return alpha * float(config["r"]) ** 0.5 if config.get("use_rslora") else alpha
