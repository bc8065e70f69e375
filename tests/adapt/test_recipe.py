import pytest

from llmrec_prompt.adapt import Recipe
from llmrec_prompt.adapt.recipe import Lora
from llmrec_prompt.errors import ConfigError


def plain(**changes):
    stage = {"name": "a", "sources": [{"data": "x"}], **changes}
    return {"stages": [stage]}


def test_a_short_recipe_is_enough():
    recipe = Recipe.parse(plain())
    assert (recipe.base, recipe.stages[0].objective, recipe.stages[0].sources[0].test) == (
        "smollm2",
        "encode",
        200,
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "No Good"}, "stages.0.name"),
        ({"sources": []}, "stages.0.sources"),
        ({"objectives": {"guess": 1}}, "must be among"),
        ({"objectives": {"rank": 1, "encode": 1}}, "cannot be mixed"),
        ({"objectives": {"adversarial": 1}}, "goes with another"),
        ({"stepz": 3}, "stages.0.stepz"),
        ({"steps": 0}, "stages.0.steps"),
    ],
)
def test_what_cannot_be_meant_is_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        Recipe.parse(plain(**changes))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (plain(stpes=6), "Unknown key 'stages.0.stpes'. Did you mean 'stages.0.steps'?"),
        (plain(sources=[{"dat": "x"}]), "'stages.0.sources.0.dat'. Did you mean 'stages.0.sources.0.data'?"),
        ({**plain(), "lora": {"layer": 2}}, "Unknown key 'lora.layer'. Did you mean 'lora.layers'?"),
        ({"base": "smollm2", "stage": []}, "Unknown key 'stage'. Did you mean 'stages'?"),
        ({"base": "smollm2"}, "recipe: stages is missing."),
        (plain(name="My Shop"), "digits and . _ -, such as my-shop (found 'My Shop')."),
        (plain(objectives={}), "recipe: stages.0: objectives [] must be among encode, next_item"),
    ],
)
def test_a_slip_is_named_as_in_a_suite(content, message):
    with pytest.raises(ConfigError) as caught:
        Recipe.parse(content)
    assert message in str(caught.value)
    assert "{" not in str(caught.value)


def test_targets_are_linear_layers():
    with pytest.raises(ConfigError, match="q_proj"):
        Recipe.parse({**plain(), "lora": {"targets": ["lm_head"]}})


def test_layers_are_the_last_of_those_there_are():
    assert [Lora(layers=n).first_layer(30) for n in (None, 1, 30)] == [0, 29, 0]
    with pytest.raises(ConfigError, match=r"lora.layers is 99, but the base has 30 layers. Give 1 to 30"):
        Lora(layers=99).first_layer(30)


def test_values_change_by_dotted_path():
    recipe = Recipe.parse(plain(), {"stages.0.steps": 7, "lora.r": 4})
    assert (recipe.stages[0].steps, recipe.lora.r) == (7, 4)
    with pytest.raises(ConfigError, match="nothing at"):
        Recipe.parse(plain(), {"stages.5.steps": 7})


@pytest.mark.parametrize("content", ["- a\n- b\n", "a: [\n", "just words"])
def test_a_file_that_is_no_recipe(tmp_path, content):
    path = tmp_path / "r.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match="recipe"):
        Recipe.load(path)


def test_the_heaviest_objective_comes_first():
    recipe = Recipe.parse(plain(objectives={"next_item": 0.3, "encode": 1}))
    assert recipe.stages[0].objective == "encode+next_item"
