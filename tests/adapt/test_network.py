import copy
import json
import shutil
import sys

import pytest

torch = pytest.importorskip("torch", reason="training is NOT TESTED: the extra [hf] is not installed")
pytest.importorskip("peft", reason="training is NOT TESTED: the extra [hf] is not installed")

from llmrec_prompt.adapt.network import Network, half, load_base  # noqa: E402
from llmrec_prompt.adapt.recipe import Lora  # noqa: E402
from llmrec_prompt.errors import BackendError, ConfigError, MissingExtra  # noqa: E402

TEXTS = [(5, 9, 11, 40, 7), (8, 8), (301, 12, 13)]


@pytest.fixture
def model(tiny):
    return load_base(str(tiny), precision="fp32")[1]


def plain_states(model, text):
    return model.base_model(input_ids=torch.tensor([text])).last_hidden_state[0]


@pytest.mark.parametrize("layers", [None, 1, 2])
def test_states_are_the_models_own_whatever_part_is_trained(model, layers):
    wanted = [plain_states(copy.deepcopy(model), text) for text in TEXTS]
    network = Network(model, Lora(layers=layers))
    states = network.states(TEXTS)
    for own, text, row in zip(wanted, TEXTS, states, strict=True):
        torch.testing.assert_close(row[: len(text)], own, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network.ends(TEXTS)[1], wanted[1][-1], rtol=1e-4, atol=1e-5)


def test_more_layers_than_there_are_is_refused_and_says_both_numbers(model):
    with pytest.raises(ConfigError, match=r"lora.layers is 99, but the base has 2 layers"):
        Network(model, Lora(layers=99))


def test_only_the_upper_layers_learn(model):
    network = Network(model, Lora(layers=1, r=4))
    assert {name.split("layers.")[1][0] for name, _ in network.trainable} == {"1"}
    network.ends(TEXTS).pow(2).sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for _, p in network.trainable)
    assert all(p.grad is None for n, p in network.named_parameters() if "lora" not in n)


def test_kept_states_are_the_computed_ones_and_are_used(model, monkeypatch, tmp_path):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path))
    network = Network(model, Lora(layers=1), base_hash="abc")
    first = network.states(TEXTS).detach()
    assert list((tmp_path / "states").glob("abc-1-float32.sqlite"))
    network.__dict__["_lower"] = None  # whatever is not kept would now fail
    assert torch.equal(network.states(TEXTS), first)


def test_nothing_is_kept_where_every_layer_learns(model, monkeypatch, tmp_path):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path))
    Network(model, Lora(), base_hash="abc").states(TEXTS)
    assert not (tmp_path / "states").exists()


def test_a_base_made_of_code_of_its_own_is_refused(tiny, tmp_path):
    shutil.copytree(tiny, tmp_path / "base")
    path = tmp_path / "base" / "config.json"
    asking = {
        "model_type": "evil",
        "auto_map": {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"},
    }
    path.write_text(json.dumps(json.loads(path.read_text()) | asking))
    with pytest.raises(ConfigError, match="needs Python code of its own"):
        load_base(str(tmp_path / "base"), precision="fp32")


def test_four_bits_need_an_extra(tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingExtra, match=r"llmrec-prompt\[qlora\]"):
        load_base(str(tiny), precision="fp32", quantise=True)


def test_four_bits_learn_and_their_states_are_kept_apart(tiny, model, monkeypatch, tmp_path):
    pytest.importorskip("bitsandbytes", reason="QLoRA is NOT TESTED: the extra [qlora] is not installed")
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path))
    exact = Network(model, Lora(layers=1), base_hash="abc").ends(TEXTS)
    coarse = load_base(str(tiny), precision="fp32", quantise=True)[1]
    assert coarse.get_memory_footprint() < model.get_memory_footprint()
    network = Network(coarse, Lora(layers=1), base_hash="abc")
    ends = network.ends(TEXTS)
    assert 0 < (ends - exact).norm() / exact.norm() < 0.3
    assert len(list((tmp_path / "states").glob("abc-1-*.sqlite"))) == 2
    ends.pow(2).sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for _, p in network.trainable)


SIZES = {"vocab_size": 100, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0}
SCALES = {
    "Cohere": {"logit_scale": 0.25},
    "Granite": {"logits_scaling": 4.0, "embedding_multiplier": 3.0},
    "Gemma2": {"head_dim": 8, "final_logit_softcapping": 2.0},
}


@pytest.mark.parametrize("family", SCALES)
@pytest.mark.parametrize("layers", [None, 1])
def test_what_families_multiply_is_multiplied_once(family, layers):
    import transformers

    config = getattr(transformers, f"{family}Config")(**SIZES, **HEADS, **SCALES[family])
    model = transformers.AutoModelForCausalLM.from_config(config).requires_grad_(False)
    text = [5, 9, 11, 40, 7]
    wanted = model(input_ids=torch.tensor([text])).logits[0]
    network = Network(model, Lora(layers=layers))
    found = network.logits(network.states([text])[0, : len(text)])
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layers", [None, 1])
def test_a_model_that_two_parts_read_otherwise_is_refused(model, layers):
    def tripled(body, given, output):
        output.last_hidden_state = 3 * output.last_hidden_state
        return output

    model.base_model.register_forward_hook(tripled)  # each part does it, so it is done twice
    with pytest.raises(BackendError, match="type 'llama' cannot be trained"):
        Network(model, Lora(layers=layers))


def test_a_gpu_that_emulates_bfloat16_trains_in_single_precision(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda device: True)
    for major, wanted in ((7, False), (8, True)):
        found = type("Properties", (), {"major": major})
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device, found=found: found)
        assert half("auto") is wanted


def test_a_build_without_mkldnn_is_not_asked_about_it(monkeypatch):
    def missing():
        raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute")

    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", missing, raising=False)
    assert half("auto") is False
    assert half("bf16") is True
