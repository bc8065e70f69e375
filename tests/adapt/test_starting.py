"""Going on from an adapter: all of it, at its own scale, or an error."""

import pytest

torch = pytest.importorskip("torch", reason="training is NOT TESTED: the extra [hf] is not installed")
pytest.importorskip("peft", reason="training is NOT TESTED: the extra [hf] is not installed")

from llmrec_prompt.adapt.network import Network, load_base  # noqa: E402
from llmrec_prompt.adapt.publish import write_weights  # noqa: E402
from llmrec_prompt.adapt.recipe import Lora  # noqa: E402
from llmrec_prompt.errors import AdapterError, ConfigError  # noqa: E402
from tests.adapters.made import Size, tensors, write_config, write_safetensors  # noqa: E402

TEXT = (5, 9, 11, 40, 7)
MADE = Lora(r=4, alpha=8, layers=1)


@pytest.fixture
def start(deep, tmp_path):
    """An adapter of the last layer of three, and the state that ends a text under it."""
    network = Network(load_base(str(deep), precision="fp32")[1], MADE)
    for _, parameter in network.trainable:
        torch.nn.init.normal_(parameter, std=0.2)
    write_weights(network.peft, "deep", tmp_path)
    return tmp_path, network.ends([TEXT]).detach()


def begun(deep, start, lora):
    return Network(load_base(str(deep), precision="fp32")[1], lora, start=start)


@pytest.mark.parametrize("layers", [1, 2, None])
def test_it_goes_on_where_the_adapter_was_with_more_layers_too(deep, start, layers):
    folder, wanted = start
    network = begun(deep, folder, MADE.model_copy(update={"layers": layers}))
    torch.testing.assert_close(network.ends([TEXT]), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"r": 8}, "its r is 4, the recipe's 8"),
        ({"alpha": 16}, "its alpha is 8, the recipe's 16"),
        ({"targets": ("q_proj",)}, "its targets are down_proj, .*, the recipe's q_proj"),
    ],
)
def test_another_shape_is_refused(deep, start, changes, said):
    with pytest.raises(AdapterError, match=said):
        begun(deep, start[0], MADE.model_copy(update=changes))


def test_layers_that_would_be_lost_are_refused(deep, start, tmp_path):
    network = begun(deep, start[0], MADE.model_copy(update={"layers": 2}))
    (tmp_path / "two").mkdir()
    write_weights(network.peft, "deep", tmp_path / "two")
    with pytest.raises(AdapterError, match="it adapts layer 1, the recipe layers 2 to 2 alone"):
        begun(deep, tmp_path / "two", MADE)


def test_a_scale_by_the_root_of_the_rank_is_another_scale(deep, start):
    write_config(start[0], r=4, use_rslora=True)
    with pytest.raises(AdapterError, match="its alpha is 16, the recipe's 8"):
        begun(deep, start[0], MADE)


def test_weights_that_have_no_place_in_the_base_are_refused(deep, tmp_path):
    """Its names are those of a model that is wrapped in another one."""
    size = Size(layers=1, hidden=64, inner=128, heads=4, kv_heads=2)
    arrays = {key.replace("model.layers", "model.language.layers"): a for key, a in tensors(size).items()}
    write_config(tmp_path)
    write_safetensors(tmp_path / "adapter_model.safetensors", arrays)
    with pytest.raises(AdapterError, match=r"no place for .*language\.layers"):
        begun(deep, tmp_path, MADE.model_copy(update={"layers": None}))


def test_who_the_start_learnt_from_does_not_validate(tiny, ring, tmp_path):
    """Those who validated it may do so again; by another draw others do, and it knows them."""
    from llmrec_prompt.adapt import Recipe
    from llmrec_prompt.adapt.stages import train

    def go(name, start=None, **changes):
        source = {"data": str(ring), "test": 20, "validation": 8, **changes}
        stage = {"name": name, "sources": [source], "steps": 2, "evaluate_every": 2, "batch": 4}
        plan = {"base": f"hf:{tiny}", "precision": "fp32", "lora": {"r": 4, "alpha": 8}, "stages": [stage]}
        found = Recipe.parse({**plan, "start": start and str(start)})
        return train(found, out=tmp_path / "adapters", runs=tmp_path / "runs")[0].folder

    first = go("first")
    go("same", first)
    go("fewer", first, validation=5)
    go("nobody", first, validation=0, draw=1)
    with pytest.raises(ConfigError, match=r"'first', saw \d of the 8 validation users of ring"):
        go("other", first, draw=1)
    with pytest.raises(ConfigError, match=r"saw 7 of the 15 validation users"):
        go("more", first, validation=15)
