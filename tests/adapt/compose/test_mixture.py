import numpy as np
import pytest

from llmrec_prompt.adapt.compose.matrices import norm, read_scaled, side_by_side, truncated
from llmrec_prompt.adapt.compose.mixture import Mixture, compose, half, plain_weights
from llmrec_prompt.adapters import Adapter, Base, Card, Lora, read_users, user_hash, verify, write_users
from llmrec_prompt.errors import AdapterError, ConfigError, UnknownName
from tests.adapters.made import LINEARS, Size, card, tensors, write_adapter


def adapter(folder, seed, **other):
    name = folder.name
    r = other.pop("r", 4)
    made = card(name, lora=Lora(r=r, alpha=8, targets=tuple(LINEARS)), **other)
    write_adapter(folder, made, seed=seed, dtype="BF16")
    return Adapter(folder, Card.load(folder))


@pytest.fixture
def three(tmp_path):
    return tuple(adapter(tmp_path / name, i) for i, name in enumerate(("general", "films", "books")))


def deltas(folder):
    """delta W of every linear, put together by hand from the files as PEFT reads them."""
    import json

    from llmrec_prompt.adapters.weights import read_tensors

    config = json.loads((folder / "adapter_config.json").read_text())
    found = read_tensors(folder / "adapter_model.safetensors")
    return {
        key: config["lora_alpha"] / config["r"] * (found[key.replace("lora_A", "lora_B")] @ found[key])
        for key in found
        if "lora_A" in key
    }


def distance(one, other):
    up = sum(float(((one[k] - other[k]) ** 2).sum()) for k in one)
    return (up / sum(float((other[k] ** 2).sum()) for k in one)) ** 0.5


def test_a_sum_is_the_sum_up_to_the_rounding_of_the_file(three, tmp_path):
    done = compose("mix", Mixture(three, (0.5, -0.3, 1.1)), tmp_path / "out")
    parts = [deltas(parent.folder) for parent in three]
    wanted = {k: 0.5 * parts[0][k] - 0.3 * parts[1][k] + 1.1 * parts[2][k] for k in parts[0]}
    assert distance(deltas(done.folder), wanted) < 0.004
    assert done.error == pytest.approx(distance(deltas(done.folder), wanted), rel=0.05)
    assert done.card.lora.r == 12
    assert done.card.metrics["composition"]["relative error"] == pytest.approx(done.error, rel=0.01)


def test_weights_that_bfloat16_holds_lose_nothing(three, tmp_path):
    done = compose("mix", Mixture(three[:2], (0.5, -0.25)), tmp_path / "out")
    parts = [deltas(parent.folder) for parent in three]
    wanted = {k: 0.5 * parts[0][k] - 0.25 * parts[1][k] for k in parts[0]}
    assert done.error == 0
    assert distance(deltas(done.folder), wanted) < 1e-6


def test_arithmetic_adds_what_the_others_changed(three, tmp_path):
    weights = plain_weights("arithmetic", 3, (0.8, -0.4))
    done = compose("mix", Mixture(three, weights, "arithmetic"), tmp_path / "out")
    general, films, books = (deltas(parent.folder) for parent in three)
    wanted = {k: general[k] + 0.8 * (films[k] - general[k]) - 0.4 * (books[k] - general[k]) for k in general}
    assert distance(deltas(done.folder), wanted) < 0.004
    assert [parent.weight for parent in done.card.parents] == [0.6, 0.8, -0.4]


def test_the_best_sum_of_a_rank_leaves_out_what_weighs_least(three, tmp_path):
    mixture = Mixture(three, (0.5, 0.3, 0.2), rank=4)
    done = compose("mix", mixture, tmp_path / "out")
    parts = [deltas(parent.folder) for parent in three]
    lost = whole = 0.0
    for key in parts[0]:
        values = np.linalg.svd(
            sum(w * p[key] for w, p in zip(mixture.weights, parts, strict=True)), compute_uv=False
        )
        lost, whole = lost + float((values[4:] ** 2).sum()), whole + float((values**2).sum())
    assert done.error == pytest.approx((lost / whole) ** 0.5, rel=0.01)
    assert done.card.lora.r == 4
    assert verify_passes(done.folder)


def test_a_rank_that_holds_everything_changes_nothing(three):
    exact = side_by_side([read_scaled(parent.folder) for parent in three], (0.5, 0.3, 0.2))
    cut = truncated(exact, 12)
    assert norm(side_by_side([cut, exact], (1.0, -1.0))) < 1e-5 * norm(exact)


def test_the_norm_is_that_of_the_products(three):
    pairs = read_scaled(three[0].folder)
    by_hand = sum(float(((b @ a) ** 2).sum()) for a, b in pairs.values()) ** 0.5
    assert norm(pairs) == pytest.approx(by_hand, rel=1e-5)


def verify_passes(folder):
    return [check for check in verify(folder) if not check.ok] == []


def test_the_folder_is_a_sound_adapter_that_names_everybody(three, tmp_path):
    write_users(three[1].folder, [user_hash("other", "u9")])
    done = compose("mix", Mixture(three, (0.2, 0.3, 0.5)), tmp_path / "out")
    assert verify_passes(done.folder)
    assert read_users(done.folder) == {
        user_hash("toy", "u1"),
        user_hash("toy", "u2"),
        user_hash("other", "u9"),
    }
    assert done.card.objective == "composed"
    assert done.card.mode == "encoder"
    assert done.card.licence == "CC BY 4.0"
    assert [(p.name, p.hash) for p in done.card.parents] == [
        (p.card.name, p.card.weights_hash) for p in three
    ]
    assert "starts from: `general` (weight 0.2)" in (done.folder / "README.md").read_text()


def test_temperature_and_popularity_are_means_by_weight(tmp_path):
    one = adapter(tmp_path / "one", 0, scale=10.0, popularity={"uniform": 1.0, "popular": 0.0})
    other = adapter(
        tmp_path / "other", 1, scale=20.0, popularity={"uniform": 0.5}, licence="CC0", domain="books"
    )
    done = compose("mix", Mixture((one, other), (0.75, -0.25)), tmp_path / "out")
    assert done.card.scale == 12.5
    assert done.card.popularity == {"uniform": 0.875, "popular": 0.0}
    assert done.card.domain == "general"
    assert done.card.licence == "CC BY 4.0; CC0"


def test_a_domain_without_labels_has_them_once_a_parent_had(tmp_path):
    one, other = (
        adapter(tmp_path / f"{seed}", seed, templates={"movies": "0" * 16, name: "1" * 16}, unlabelled=given)
        for seed, (name, given) in enumerate([("books", ("movies", "books")), ("music", ())])
    )
    done = compose("mix", Mixture((one, other), (0.5, 0.5)), tmp_path / "out")
    assert done.card.unlabelled == ("books",)


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"base": Base(ref="other", hash="0" * 16)}, "base"),
        ({"mode": "likelihood"}, "mode"),
        ({"language": "zh"}, "language"),
        ({"templates": {"movies": "0" * 16}}, "templates of 'movies'"),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path, other, what):
    parents = adapter(tmp_path / "one", 0), adapter(tmp_path / "other", 1, **other)
    with pytest.raises(AdapterError, match=what):
        compose("mix", Mixture(parents, (0.5, 0.5)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_linears_of_other_sizes_are_refused(tmp_path):
    one = adapter(tmp_path / "one", 0)
    write_adapter(tmp_path / "wide", card("wide"), Size(hidden=16), seed=1)
    wide = Adapter(tmp_path / "wide", Card.load(tmp_path / "wide"))
    with pytest.raises(AdapterError, match="other sizes"):
        compose("mix", Mixture((one, wide), (0.5, 0.5)), tmp_path / "out")


def test_ranks_beyond_what_engines_load_need_a_smaller_one(tmp_path):
    parents = tuple(adapter(tmp_path / f"p{i}", i, r=33) for i in range(2))
    with pytest.raises(ConfigError, match=r"add up to 66.*--rank"):
        compose("mix", Mixture(parents, (0.5, 0.5)), tmp_path / "out")
    assert compose("mix", Mixture(parents, (0.5, 0.5), rank=8), tmp_path / "out").card.lora.r == 8


def test_a_name_is_taken_once_unless_forced(three, tmp_path):
    first = compose("mix", Mixture(three, (1.0, 0.0, 0.0)), tmp_path / "out")
    with pytest.raises(AdapterError, match="--force"):
        compose("mix", Mixture(three, (0.0, 1.0, 0.0)), tmp_path / "out")
    second = compose("mix", Mixture(three, (0.0, 1.0, 0.0)), tmp_path / "out", force=True)
    assert second.card.weights_hash != first.card.weights_hash


@pytest.mark.parametrize("name", ["", "Mix", "a/b", ".."])
def test_names_that_no_adapter_can_have(three, tmp_path, name):
    with pytest.raises(ConfigError, match="small letters"):
        compose(name, Mixture(three, (1.0, 0.0, 0.0)), tmp_path / "out")


def test_weights_of_the_methods():
    assert plain_weights("sum", 4, None) == (0.25,) * 4
    assert plain_weights("arithmetic", 3, None) == (0.0, 0.5, 0.5)
    with pytest.raises(UnknownName, match="arithmetic, hub, sum"):
        plain_weights("average", 2, None)
    for method, count, weights in (("sum", 2, (1.0,)), ("arithmetic", 1, None), ("sum", 1, (float("nan"),))):
        with pytest.raises(ConfigError):
            plain_weights(method, count, weights)


def test_rounding_is_to_the_nearest_that_bfloat16_holds():
    torch = pytest.importorskip("torch")
    numbers = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    assert np.array_equal(half(numbers), torch.tensor(numbers).bfloat16().float().numpy())


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing")
def test_what_was_written_is_what_peft_adds(tiny, tmp_path):
    """The states under the sum are those of a base whose weights were changed by hand."""
    torch = pytest.importorskip("torch")
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    size = Size(layers=2, hidden=64, inner=128, heads=4, kv_heads=2)
    parents = []
    for i in range(2):
        folder = tmp_path / f"p{i}"
        write_adapter(folder, card(f"p{i}"), size, seed=i, dtype="BF16")
        parents.append(Adapter(folder, Card.load(folder)))
    done = compose("mix", Mixture(tuple(parents), (0.5, -0.25)), tmp_path / "out")
    tokens = torch.tensor([[5, 60, 200, 7]])
    base = AutoModelForCausalLM.from_pretrained(tiny)
    names = dict(base.named_parameters())
    with torch.no_grad():
        plain = base(tokens).logits
        for weight, parent in zip((0.5, -0.25), parents, strict=True):
            for key, delta in deltas(parent.folder).items():
                name = key.removeprefix("base_model.model.").replace("lora_A.weight", "weight")
                names[name] += torch.tensor(weight * delta)
        wanted = base(tokens).logits
        adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny), done.folder)
        found = adapted(tokens).logits
    assert torch.allclose(found, wanted, atol=1e-4)
    assert (plain - wanted).abs().max() > 1e-2
    assert tensors(size)  # of the very shapes of the tiny model, or PEFT would have refused
