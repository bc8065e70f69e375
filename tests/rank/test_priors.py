import pytest

from llmrec_prompt.cache import NumberStore
from llmrec_prompt.errors import UnknownName
from llmrec_prompt.progress import reporting
from llmrec_prompt.rank.priors import CHUNK, Priors, calibration_histories

from .toys import Counted, dataset

LOGS = "\n".join(f"u{n} " + " ".join("abcdefgh"[n % 4 : n % 4 + 2 + n % 3]) for n in range(12))
DATA = dataset("abcdefgh", LOGS)
LETTERS = "abcdefghijklmnopqrst"
BIG = dataset(LETTERS)


def peers(data, source="catalogue", *, count=4, length=3, seed=0):
    found = calibration_histories(data, source=source, count=count, length=length, seed=seed)
    return ["".join(item.item_id for item in peer) for peer in found]


def test_drawn_lists_have_no_item_in_common():
    found = peers(BIG, count=5)
    assert [len(peer) for peer in found] == [3] * 5
    assert len(set("".join(found))) == 15
    assert set("".join(found)) <= set(LETTERS)
    assert peers(dataset(LETTERS, "u1 a b c d\n"), count=5) == found  # logs play no part


def test_a_small_catalogue_makes_shorter_lists_or_none():
    found = peers(dataset("abcdefgh"), count=3, length=9)
    assert [len(peer) for peer in found] == [2, 2, 2]
    assert len(set("".join(found))) == 6
    assert peers(dataset("ab"), count=3) == []


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
    found = peers(dataset(LETTERS, "u1 h a b c\nu2 d\n"), "users")
    assert found[0] == "abc"
    assert found[1:] == peers(BIG, count=3)
    assert peers(BIG, "users") == peers(BIG)


def test_the_empty_history_is_one():
    assert peers(DATA, "empty", count=4) == [""]


def test_an_unknown_source_says_which_is_meant():
    with pytest.raises(UnknownName, match=r"calibration 'catalog'\. Did you mean 'catalogue'\?"):
        peers(DATA, "catalog")


def by_length(prompt, text):
    return -len(prompt) * len(text)


EMPTY = "7777777"


def priors(prompts, *, model=None, store=None) -> Priors:
    return Priors((model or Counted(by_length)).backend, prompts, EMPTY, store or NumberStore(None))


def test_a_prior_is_the_mean_over_the_prompts_but_ones_own():
    made = priors(["1", "333", "55555"])
    assert made.means(["x", "yy"]).tolist() == [-3.0, -6.0]
    assert made.means(["x", "yy"], without="55555").tolist() == [-2.0, -4.0]
    assert made.means(["x"], without="elsewhere").tolist() == [-3.0]


def test_the_same_prompt_twice_counts_once():
    made = priors(["1", "1", "333"])
    assert made.prompts == ("1", "333")
    assert made.means(["x"]).tolist() == [-2.0]


def test_where_no_prompt_is_left_the_empty_history_serves():
    assert priors(["1"]).means(["x", "yy"], without="1").tolist() == [-7.0, -14.0]
    assert priors([]).prompts == (EMPTY,)
    assert priors([]).means(["x"]).tolist() == [-7.0]


def test_a_prompt_that_shows_the_line_is_left_out_for_that_line():
    first, second = "1\nab\n", "22\ncd\n"
    one, two = len(first), len(second)
    made = priors([first, second])
    assert made.means(["ab\n", "cd\n", "ef\n"]).tolist() == [-3 * two, -3 * one, -3 * (one + two) / 2]
    assert made.means(["b\n", "ab\n"]).tolist() == [-2 * (one + two) / 2, -3 * two]
    assert made.means(["ab\n"], without=second).tolist() == [-3 * len(EMPTY)]


def test_shown_lines_are_not_prepared():
    model = Counted(by_length)
    priors(["1\nab\n"], model=model).prepare(["ab\n", "cd\n"])
    assert [text for _, text in model.take()] == ["cd\n"]


def test_each_prior_is_asked_for_once_and_kept(tmp_path):
    model = Counted(by_length)
    made = priors(["p", "q"], model=model, store=NumberStore(tmp_path / "p.sqlite"))
    made.means(["x", "y", "x"])
    assert sorted(model.take()) == [("p", "x"), ("p", "y"), ("q", "x"), ("q", "y")]
    made.means(["y", "z"])
    assert sorted(model.take()) == [("p", "z"), ("q", "z")]
    again = priors(["q", "p"], model=model, store=NumberStore(tmp_path / "p.sqlite"))
    assert again.means(["z", "x"]).tolist() == made.means(["z", "x"]).tolist()
    assert model.take() == []


@pytest.mark.parametrize("change", ["adapter", "weights", "prompt"])
def test_what_changes_a_prior_has_it_computed_anew(change):
    store = NumberStore(None)
    model = Counted(by_length, name="one")
    priors(["p"], model=model, store=store).means(["x"])
    model.take()
    if change == "adapter":
        model.backend.use("an/adapter")
    if change == "weights":
        model = Counted(by_length, name="two")
    priors(["P" if change == "prompt" else "p"], model=model, store=store).means(["x"])
    assert len(model.take()) == 1


def test_preparing_computes_what_is_missing_in_chunks_and_tells_of_it():
    model, heard = Counted(by_length), []
    made = priors(["p", "q"], model=model)
    made.means(["0"])
    model.take()
    texts = [str(n) for n in range(CHUNK + 1 + 1)]
    with reporting(lambda *told: heard.append(told)):
        made.prepare(texts)
    assert len(model.take()) == 2 * (CHUNK + 1)
    assert heard == [("Item priors", n, 4) for n in range(5)]
    made.means(texts)
    assert model.take() == []
