"""What peft may be asked for: plain LoRA beside an untouched base, as any version of it saves that."""

import pytest

from llmrec_prompt.adapters.config import MAX_RANK, alpha_of, config_faults, peft_faults, read_config
from llmrec_prompt.errors import AdapterError

from .made import write_config


def of(tmp_path, **change):
    write_config(tmp_path, **change)
    return read_config(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"peft_type": "IA3"}, "'IA3'"),
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"r": MAX_RANK + 1}, "its r is 65"),
        ({"r": "8"}, "its r is '8'"),
        ({"r": None}, "its r is None"),
        ({"r": 4.0}, "its r is 4.0"),
        ({"lora_alpha": None}, "its lora_alpha is None, not a number"),
        ({"lora_alpha": "16"}, "its lora_alpha is '16', not a number"),
        ({"lora_alpha": float("nan")}, "its lora_alpha is nan, not a number"),
        ({"bias": "all"}, "biases"),
        ({"alpha_pattern": {"q_proj": 3}}, "alpha_pattern"),
        ({"rank_pattern": {"q_proj": 3}}, "rank_pattern"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
    ],
)
def test_configurations_that_do_not_load_everywhere_are_told(tmp_path, change, said):
    write_config(tmp_path)
    assert config_faults(read_config(tmp_path)) == []
    write_config(tmp_path, **change)
    faults = config_faults(read_config(tmp_path))
    assert len(faults) == 1
    assert said in faults[0]


@pytest.mark.parametrize("text", ["", "[1]", "{"])
def test_a_broken_configuration_is_one_line(tmp_path, text):
    (tmp_path / "adapter_config.json").write_text(text)
    with pytest.raises(AdapterError):
        read_config(tmp_path)


def test_a_missing_configuration_says_what_an_adapter_is(tmp_path):
    with pytest.raises(AdapterError, match="PEFT folder"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"layer_replication": [[0, 1], [0, 1]]},
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": 1},
        {"target_modules": "(([a-z_.0-9]+)+)+X"},
        {"target_modules": ["q_proj", "(a+)+X"]},
        {"target_modules": [1]},
        {"exclude_modules": "(a+)+X"},
        {"layers_pattern": "(a+)+X"},
        {"layers_to_transform": [True]},
        {"layers_to_transform": "0"},
        {"rank_pattern": {"(a+)+X": 4}},
        {"rank_pattern": {"q_proj": 10**9}},
        {"alpha_pattern": {"q_proj": "4"}},
        {"alpha_pattern": ["q_proj"]},
        {"target_parameters": ["embed_tokens.weight"]},
        {"runtime_config": {"ephemeral_gpu_offload": True}},
        {"megatron_core": "os"},
        {"lora_alpha": 10**400},
        {"lora_dropout": "0"},
        {"r": 10**30},
        {"learnt_next_year": 1},
    ],
)
def test_what_would_change_the_base_or_never_end_is_told(tmp_path, change):
    config = of(tmp_path, **change)
    (fault,) = peft_faults(config)
    assert next(iter(change)) in fault
    assert len(fault) < 200
    assert config_faults(config) == [fault]


EVERYWHERE = {
    "lora_dropout": 0.05,
    "fan_in_fan_out": False,
    "bias": "none",
    "exclude_modules": None,
    "init_lora_weights": True,
    "layers_to_transform": [28, 29],
    "layers_pattern": "layers",
    "rank_pattern": {},
    "alpha_pattern": {},
    "megatron_config": None,
    "megatron_core": "megatron.core",
    "loftq_config": {},
    "use_qalora": False,
    "qalora_group_size": 16,
    "layer_replication": None,
    "use_rslora": True,
    "auto_mapping": {"base_model_class": "LlamaForCausalLM", "parent_library": "transformers.models.llama"},
    "revision": "main",
    "inference_mode": True,
    "peft_version": "0.19.0",
}


def test_what_peft_saves_of_plain_lora_is_well(tmp_path):
    assert config_faults(of(tmp_path, **EVERYWHERE)) == []
    assert config_faults(of(tmp_path, target_modules="all-linear", init_lora_weights="gaussian")) == []
    patterns = {"rank_pattern": {"^model.layers.0.mlp.up_proj": 8}, "alpha_pattern": {"up_proj": 16.0}}
    assert peft_faults(of(tmp_path, **patterns, r=2 * MAX_RANK)) == []
    assert config_faults(of(tmp_path, **patterns)) == [
        "rank_pattern is not empty",
        "alpha_pattern is not empty",
    ]


@pytest.mark.hf
def test_what_the_installed_peft_saves_is_well(tmp_path):
    """A version with new keys that are not empty fails here: look at what they do, then say so."""
    peft = pytest.importorskip("peft")
    for options in ({}, {"use_rslora": True, "layers_to_transform": [0], "lora_dropout": 0.1}):
        peft.LoraConfig(r=4, target_modules=["q_proj"], **options).save_pretrained(tmp_path)
        assert config_faults(read_config(tmp_path)) == []


def test_alpha_makes_rslora_scale_as_peft_does():
    assert alpha_of({"r": 4, "lora_alpha": 8}) / 4 == 2
    assert alpha_of({"r": 4, "lora_alpha": 8, "use_rslora": True}) / 4 == 8 / 4**0.5
