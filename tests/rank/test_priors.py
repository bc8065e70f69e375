import pytest

from llmrec_prompt.cache import NumberStore
from llmrec_prompt.errors import UnknownName
from llmrec_prompt.progress import reporting
from llmrec_prompt.rank.priors import CHUNK, Priors, calibration_histories

from .toys import Counted, dataset

LOGS = "\n".join(f"u{n} " + " ".join("abcdefgh"[n % 4 : n % 4 + 2 + n % 3]) for n in range(12))
DATA = dataset("abcdefgh", LOGS)


def peers(data, source="catalogue", *, count=4, length=3, seed=0):
    found = calibration_histories(data, source=source, count=count, length=length, seed=seed)
    return ["".join(item.item_id for item in peer) for peer in found]


def test_drawn_lists_are_different_items_of_the_catalogue():
    found = peers(DATA, count=5)
    assert [len(set(peer)) for peer in found] == [3] * 5
    assert set("".join(found)) <= set("abcdefgh")
    assert len(set(found)) > 1
    assert peers(dataset("abcdefgh"), count=5) == found  # logs play no part
    assert [sorted(peer) for peer in peers(dataset("ab"), length=9, count=2)] == [["a", "b"]] * 2


@pytest.mark.parametrize("source", ["catalogue", "users"])
def test_the_draw_is_fixed_by_the_seed(source):
    assert peers(DATA, source, seed=5) == peers(DATA, source, seed=5)
    assert len({tuple(peers(DATA, source, seed=seed)) for seed in range(10)}) > 5


def test_users_are_those_with_enough_and_their_latest_items():
    possible = {
        "".join(item.item_id for item in DATA.history_items(user)[-3:])
        for user in DATA.users
        if len(DATA.history(user)) >= 3
    }
    assert possible
    assert set(peers(DATA, "users")) <= possible
    assert len(peers(DATA, "users")) == 4


def test_too_few_users_are_filled_up_from_the_catalogue():
    found = peers(dataset("abcdefgh", "u1 h a b c\nu2 d\n"), "users")
    assert found[0] == "abc"
    assert found[1:] == peers(dataset("abcdefgh"), count=3)
    assert peers(dataset("abcdefgh"), "users") == peers(dataset("abcdefgh"))


def test_the_empty_history_is_one():
    assert peers(DATA, "empty", count=4) == [""]


def test_an_unknown_source_says_which_is_meant():
    with pytest.raises(UnknownName, match=r"calibration 'catalog'\. Did you mean 'catalogue'\?"):
        peers(DATA, "catalog")


def by_length(prompt, text):
    return -len(prompt) * len(text)


def test_a_prior_is_the_mean_over_the_prompts_but_ones_own():
    priors = Priors(Counted(by_length).backend, ["1", "333", "55555"], NumberStore(None))
    assert priors.means(["x", "yy"]).tolist() == [-3.0, -6.0]
    assert priors.means(["x", "yy"], without="55555").tolist() == [-2.0, -4.0]
    assert priors.means(["x"], without="elsewhere").tolist() == [-3.0]


def test_the_same_prompt_twice_counts_once():
    priors = Priors(Counted(by_length).backend, ["1", "1", "333"], NumberStore(None))
    assert priors.prompts == ("1", "333")
    assert priors.means(["x"]).tolist() == [-2.0]


def test_one_prompt_that_is_ones_own_still_stands():
    priors = Priors(Counted(by_length).backend, ["1"], NumberStore(None))
    assert priors.means(["x"], without="1").tolist() == [-1.0]


def test_each_prior_is_asked_for_once_and_kept(tmp_path):
    model = Counted(by_length)
    priors = Priors(model.backend, ["p", "q"], NumberStore(tmp_path / "p.sqlite"))
    priors.means(["x", "y", "x"])
    assert sorted(model.take()) == [("p", "x"), ("p", "y"), ("q", "x"), ("q", "y")]
    priors.means(["y", "z"])
    assert sorted(model.take()) == [("p", "z"), ("q", "z")]
    again = Priors(model.backend, ["q", "p"], NumberStore(tmp_path / "p.sqlite"))
    assert again.means(["z", "x"]).tolist() == priors.means(["z", "x"]).tolist()
    assert model.take() == []


@pytest.mark.parametrize("change", ["adapter", "weights", "prompt"])
def test_what_changes_a_prior_has_it_computed_anew(change):
    store = NumberStore(None)
    model = Counted(by_length, name="one")
    Priors(model.backend, ["p"], store).means(["x"])
    model.take()
    if change == "adapter":
        model.backend.use("an/adapter")
    if change == "weights":
        model = Counted(by_length, name="two")
    Priors(model.backend, ["P" if change == "prompt" else "p"], store).means(["x"])
    assert len(model.take()) == 1


def test_preparing_computes_what_is_missing_in_chunks_and_tells_of_it():
    model, heard = Counted(by_length), []
    priors = Priors(model.backend, ["p", "q"], NumberStore(None))
    priors.means(["0"])
    model.take()
    texts = [str(n) for n in range(CHUNK + 1 + 1)]
    with reporting(lambda *told: heard.append(told)):
        priors.prepare(texts)
    assert len(model.take()) == 2 * (CHUNK + 1)
    assert heard == [("Item priors", n, 4) for n in range(5)]
    priors.means(texts)
    assert model.take() == []
