import numpy as np
import pytest

from llmrec_prompt.adapt.compose import Mixture, compose
from llmrec_prompt.adapt.histories import Population
from llmrec_prompt.adapt.recipe import Recipe, Source
from llmrec_prompt.adapters import Adapter, Card, overlap, read_users, user_hash, write_users
from llmrec_prompt.data import Dataset, leave_last_out
from llmrec_prompt.errors import AdapterError, ConfigError, DataError

from ..noise import shuffled_numbers
from ..planted import plant

TEST = 20


@pytest.fixture(scope="module")
def parents(tiny, tmp_path_factory):
    """An adapter that learnt the planted structure from other users, and noise of the same size."""
    from llmrec_prompt.adapt.stages import train

    folder = tmp_path_factory.mktemp("parents")
    data = plant(folder / "elsewhere", seed=5)
    stage = {"name": "learnt", "sources": [{"data": str(data), "test": 0, "validation": 8}]}
    stage |= {"steps": 60, "evaluate_every": 30, "history": 6, "lr": 8e-3, "batch": 8}
    lora = {"r": 4, "alpha": 8}
    recipe = Recipe.parse({"base": f"hf:{tiny}", "precision": "fp32", "lora": lora, "stages": [stage]})
    learnt = train(recipe, out=folder / "adapters", runs=folder / "runs")[0].folder
    noise = shuffled_numbers(learnt, folder / "adapters" / "noise")
    return tuple(Adapter(path, Card.load(path)) for path in (learnt, noise))


def search(tiny, ring, precision="fp32", **other):
    from llmrec_prompt.adapt.compose.search import Search

    target = Source(data=str(ring), test=TEST, validation=8, users=10)
    return Search(target, base=f"hf:{tiny}", precision=precision, **{"evaluations": 12, **other})


def loss(done):
    return done.card.metrics["shots"]["loss"]


def test_the_search_prefers_what_learnt_to_noise(tiny, ring, parents, tmp_path):
    from llmrec_prompt.adapt.compose.search import compose_on

    alone = [
        compose_on(f"one-{i}", Mixture(parents, weights), tmp_path, search(tiny, ring))
        for i, weights in enumerate([(1.0, 0.0), (0.0, 1.0)])
    ]
    found = compose_on("found", Mixture(parents, (0.5, 0.5), "hub"), tmp_path, search(tiny, ring))
    weights = {parent.name: parent.weight for parent in found.card.parents}
    assert weights["learnt"] > 0.5
    assert abs(weights["noise"]) < weights["learnt"] / 2
    assert loss(found) <= loss(alone[0]) + 0.05 < loss(alone[1])
    assert set(found.card.popularity) == {"uniform", "popular", "catalogue"}
    assert found.card.metrics["shots"]["evaluations"] == 13
    assert found.card.metrics["shots"]["asked"] == 8 + 10


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_evaluation_is_of_the_weights_it_was_asked_for(tiny, ring, parents, tmp_path, precision):
    import torch

    from llmrec_prompt.adapt.building import autocast
    from llmrec_prompt.adapt.compose.search import Mixer

    mixture = Mixture(parents, (1.0, 1.0))
    mixer = Mixer(mixture, compose("parts", mixture, tmp_path).folder, search(tiny, ring, precision))
    asked = [(1.0, 0.0), (0.0, 1.0), (1.0, 0.0)]
    with autocast(precision), torch.no_grad():
        learnt, noise, again = map(mixer.loss, asked)
    assert again == learnt < noise - 0.05


def test_a_weight_of_nothing_leaves_a_parent_out(tiny, ring, parents, tmp_path):
    from llmrec_prompt.adapt.compose.search import compose_on

    both = compose_on("both", Mixture(parents, (1.0, 0.0)), tmp_path, search(tiny, ring))
    one = compose_on("one", Mixture(parents[:1], (1.0,)), tmp_path, search(tiny, ring))
    assert loss(both) == pytest.approx(loss(one), abs=1e-3)
    assert both.card.scale == one.card.scale
    assert both.card.metrics["validation"] == one.card.metrics["validation"]


def test_users_of_parents_and_shots_are_named_and_no_tested_one(tiny, ring, parents, tmp_path):
    from llmrec_prompt.adapt.compose.search import compose_on

    done = compose_on("named", Mixture(parents, (0.5, 0.5)), tmp_path, search(tiny, ring))
    assert {"0123456789abcdef"} | read_users(parents[0].folder) <= read_users(done.folder)
    tested = [case.user_id for case in leave_last_out(Dataset.load(ring), users=TEST, seed=0).cases]
    assert not overlap(done.folder, Dataset.load(ring), tested)


def test_the_search_looks_at_few_of_the_users_that_are_known(tiny, ring, parents, tmp_path):
    from llmrec_prompt.adapt.compose.search import Search, compose_on

    def found(known, looked_at):
        target = Source(data=str(ring), test=TEST, validation=8, users=known)
        how = Search(target, users=looked_at, base=f"hf:{tiny}", precision="fp32", evaluations=6)
        return compose_on("few", Mixture(parents, (0.5, 0.5), "hub"), tmp_path, how, force=True).card

    all_known, few_known, all_looked_at = found(10, 4), found(4, None), found(10, None)
    assert all_known.parents == few_known.parents
    assert all_known.metrics["shots"] == few_known.metrics["shots"] != all_looked_at.metrics["shots"]
    assert all_known.data[-1].users == all_looked_at.data[-1].users == 10  # popularity is counted from them


def test_a_mixture_wants_somebody_to_be_fitted_to(tiny, ring, parents, tmp_path):
    from llmrec_prompt.adapt.compose.search import Search, compose_on

    nobody = Search(Source(data=str(ring), test=TEST, users=0), base=f"hf:{tiny}", precision="fp32")
    with pytest.raises(DataError, match="no user to fit the mixture to"):
        compose_on("nobody", Mixture(parents, (0.5, 0.5)), tmp_path, nobody)


def test_the_command_searches_on_a_data_set(llmrec, tiny, ring, parents, tmp_path):
    given = ["--of", parents[0].folder, "--of", parents[1].folder, "--method", "hub", "--model", f"hf:{tiny}"]
    on = ["--data", ring, "--users", 4, "--validation", 8, "--test", TEST, "--evaluations", 4]
    done = llmrec("adapt", "compose", "mix", *given, *on, "--out", tmp_path, "--json")
    assert done.code == 0, done.err
    assert done.json["parents"]["learnt"] > abs(done.json["parents"]["noise"])
    assert isinstance(done.json["centred"], bool)
    assert (
        " 12 users chose: "
        in llmrec("adapt", "compose", "mix", *given, *on, "--out", tmp_path, "--force").err
    )
    assert Card.load(tmp_path / "mix").metrics["shots"]["evaluations"] == 5


def test_whom_a_parent_remembers_is_not_asked_how_to_rank(tiny, ring, parents, tmp_path):
    from llmrec_prompt.adapt.compose.search import compose_on

    shots = Population(search(tiny, ring).target).users
    write_users(parents[1].folder, [user_hash("ring", user) for user in shots[:3]])
    try:
        done = compose_on("memory", Mixture(parents, (0.5, 0.5)), tmp_path, search(tiny, ring))
    finally:
        write_users(parents[1].folder, ["0123456789abcdef"])
    assert done.card.metrics["shots"]["asked"] == 8 + 7


@pytest.mark.parametrize(("known", "validation", "asked"), [(10, 0, 0), (10, 1, 1)])
def test_shots_are_asked_where_others_are_and_enough_is_known(
    tiny, ring, parents, tmp_path, known, validation, asked
):
    from llmrec_prompt.adapt.compose.search import Search, compose_on

    target = Source(data=str(ring), test=TEST, validation=validation, users=known)
    done = compose_on(
        "few", Mixture(parents, (0.5, 0.5)), tmp_path, Search(target, base=f"hf:{tiny}", precision="fp32")
    )
    assert done.card.metrics["shots"]["asked"] == asked


def test_a_parent_that_remembers_the_shots_is_refused(tiny, ring, parents, tmp_path):
    from llmrec_prompt.adapt.compose.search import compose_on

    shots = Population(search(tiny, ring).target).users
    write_users(parents[1].folder, [user_hash("ring", shots[0])])
    try:
        with pytest.raises(ConfigError, match="'noise' was trained on 1 of the 10 users"):
            compose_on("memory", Mixture(parents, (0.5, 0.5), "hub"), tmp_path, search(tiny, ring))
    finally:
        write_users(parents[1].folder, ["0123456789abcdef"])


def test_a_parent_that_remembers_who_would_choose_is_refused(tiny, ring, parents, tmp_path):
    from llmrec_prompt.adapt.compose.search import compose_on

    judges = Population(search(tiny, ring).target).validation
    write_users(parents[1].folder, [user_hash("ring", user) for user in judges[:3]])
    try:
        with pytest.raises(ConfigError, match="'noise' was trained on 3 of the 8 validation users"):
            compose_on("memory", Mixture(parents, (0.5, 0.5)), tmp_path, search(tiny, ring))
    finally:
        write_users(parents[1].folder, ["0123456789abcdef"])


def test_only_encoders_of_a_small_rank_can_be_fitted(tiny, ring, parents, tmp_path):
    from llmrec_prompt.adapt.compose.search import compose_on

    with pytest.raises(ConfigError, match="add up to 68"):
        compose_on("many", Mixture(parents[:1] * 17, (0.1,) * 17), tmp_path, search(tiny, ring))
    other = Adapter(parents[0].folder, parents[0].card.model_copy(update={"mode": "likelihood"}))
    with pytest.raises(ConfigError, match="Only encoder"):
        compose_on("likely", Mixture((other,), (1.0,)), tmp_path, search(tiny, ring))
    assert not list(tmp_path.iterdir())
    assert compose("two", Mixture(parents, (0.5, 0.5)), tmp_path).card.lora.r == 8


def test_the_lowest_point_of_a_bowl_is_found_and_again_for_the_same_seed():
    pytest.importorskip("peft")
    from llmrec_prompt.adapt.compose.search import minimise

    def bowl(point):
        return sum((x - wanted) ** 2 for x, wanted in zip(point, (0.7, -0.4), strict=True))

    found = minimise(bowl, [(1.0, 0.0), (0.0, 1.0)], evaluations=80, seed=3)
    assert bowl(found) < 0.01
    assert found == minimise(bowl, [(1.0, 0.0), (0.0, 1.0)], evaluations=80, seed=3)


def test_no_weight_leaves_the_bounds():
    pytest.importorskip("peft")
    from llmrec_prompt.adapt.compose.search import minimise

    assert minimise(lambda point: -point[0], [(1.0,)], evaluations=60, seed=0) == (1.5,)


def test_the_loss_of_the_shots_by_hand():
    torch = pytest.importorskip("torch")
    pytest.importorskip("peft")
    from llmrec_prompt.adapt.compose.search import Shots
    from llmrec_prompt.adapt.histories import Window

    # One user goes 3 -> 5 -> 7, another 5 -> 7; each owns what is in the own history.
    windows = [
        Window((0,), (1, 2), (5, 7), (3, 5), np.array([3, 5, 7])),
        Window((0,), (1,), (7,), (5,), np.array([5, 7])),
    ]
    shots = Shots(windows)
    assert shots.pool == [5, 7]
    # The other item is the user's own at every position, so nothing is left to be mistaken for.
    assert shots.loss(torch.zeros(3, 2)) == pytest.approx(0.0)
    stranger = Window((0,), (1,), (9,), (8,), np.array([8, 9]))
    shots = Shots([*windows, stranger])
    # Logits are zero, so each negative counts as often as it comes up: 5 once, 7 twice, 9 once.
    wanted = np.mean([-np.log(1 / 2), -np.log(2 / 3), -np.log(2 / 3), -np.log(1 / 4)])
    assert shots.loss(torch.zeros(4, 3)) == pytest.approx(wanted)


def test_the_card_tells_of_what_was_cut_to_the_rank(tiny, ring, parents, tmp_path):
    """Its metrics are those of an adapter that is read from the folder, not those of the whole sum."""
    from llmrec_prompt.adapt.building import build
    from llmrec_prompt.adapt.compose.search import compose_on

    cut, whole = (
        compose_on(name, Mixture(parents, (1.0, 0.0), rank=rank), tmp_path, search(tiny, ring)).card
        for name, rank in (("cut", 1), ("whole", None))
    )
    lora = {"r": 1, "alpha": 1}
    stage = {"name": "read", "sources": [search(tiny, ring).target.model_dump()], "history": cut.history}
    recipe = {
        "base": f"hf:{tiny}",
        "precision": "fp32",
        "lora": lora,
        "stages": [{**stage, "reach": cut.reach}],
    }
    plan = Recipe.parse(recipe)
    read = build(plan, plan.stages[0], tmp_path / "cut")
    found = read.evaluate()
    assert not cut.centred
    for kind in ("uniform", "popular"):
        best = cut.metrics["validation"][f"ndcg@10 {kind}"]
        assert best == pytest.approx(found[f"ndcg@10 {kind}"], abs=1e-3)
    assert cut.metrics["shots"]["loss"] > whole.metrics["shots"]["loss"] + 0.05


def test_a_taken_name_or_place_is_told_before_the_search(tiny, ring, parents, tmp_path):
    from llmrec_prompt.adapt.compose.search import Search, compose_on

    nobody = Search(Source(data=str(tmp_path / "nowhere")), base=f"hf:{tiny}")
    compose("taken", Mixture(parents, (0.5, 0.5)), tmp_path)
    (tmp_path / "file").write_text("")
    for name, out, error in (("taken", tmp_path, "--force"), ("Odd", tmp_path, "small letters")):
        with pytest.raises((AdapterError, ConfigError), match=error):
            compose_on(name, Mixture(parents, (0.5, 0.5)), out, nobody)
    with pytest.raises(ConfigError, match=r"file is no folder\. Give another --out"):
        compose_on("free", Mixture(parents, (0.5, 0.5)), tmp_path / "file", nobody)
