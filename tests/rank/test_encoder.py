import dataclasses
import hashlib

import numpy as np
import pytest

from llmrec_prompt.backends.fake import FakeBackend
from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import ContextOverflow, DataError, Unsupported
from llmrec_prompt.progress import reporting
from llmrec_prompt.rank import EncoderRanker, combine, leave_one_out, rank
from llmrec_prompt.rank.encoder import ELSEWHERE_NEAR, ELSEWHERE_SCALE, EncoderScorer
from llmrec_prompt.rank.states import SAMPLE
from llmrec_prompt.scorers.embedders import BATCH
from llmrec_prompt.types import Item

from .toys import States, card, dataset, items, prompter

NAMES = "abcdef"
DATA = dataset(NAMES, "u1 a b c\nu2 b c d\nu3 c\n")
SHOP = prompter()


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path))


def ranker(backend=None, data=DATA, **options):
    return EncoderRanker(backend or States(), SHOP, data, **{"card": card(), **options})


def unit(text):
    vector = States().embed([text])[0]
    return vector / np.linalg.norm(vector)


def cosines(history, candidates):
    user = unit(SHOP.history(history).text)
    return [float(unit(SHOP.item(item)) @ user) for item in candidates]


def test_scores_by_hand():
    given = card(scale=8.0, popularity={"catalogue": 0.5, "uniform": 2.0})
    scored = ranker(card=given).score(items("ab"), items("cdf"))
    near = cosines(items("ab"), items("cdf"))
    assert scored.parts["encoder"] == pytest.approx(near, abs=1e-6)
    assert scored.parts["popularity"] == pytest.approx(np.log([4, 2, 1]))
    assert scored.weights == {"encoder": 8.0, "popularity": 0.5}
    assert combine(scored) == pytest.approx(8 * np.array(near) + 0.5 * np.log([4, 2, 1]), abs=1e-5)
    assert scored.settings == {
        "history_shown": 2,
        "history_total": 2,
        "scale": 8.0,
        "popularity": 0.5,
        "task": "catalogue",
    }
    assert scored.events == {}


def test_what_popularity_is_worth_elsewhere_says_nothing_here():
    elsewhere = card(popularity={"catalogue": 0.5}, templates={"films": "0" * 16})
    assert ranker(card=elsewhere).settings["popularity"] == 0.0
    assert ranker(card=elsewhere, popularity=0.25).settings["popularity"] == 0.25


def test_nearness_to_single_items_counts_where_it_was_trained():
    given = card(scale=8.0, near=4.0, history=2)
    ours = ranker(card=given)
    scored = ours.score(items("fab"), items("cd"))
    states = {name: unit(SHOP.item(item)) for name, item in zip("abcd", items("abcd"), strict=True)}
    cosines = np.array([[states[own] @ states[other] for other in "cd"] for own in "ab"])
    wanted = np.log(np.exp(4 * cosines).mean(axis=0)) / 4
    assert scored.parts["nearness"] == pytest.approx(wanted, abs=1e-6)
    assert scored.weights == {"encoder": 8.0, "nearness": 4.0}
    assert scored.settings["near"] == 4.0
    whole = EncoderScorer(ours).score(items("fab"))
    assert whole[[2, 3]] == pytest.approx(combine(scored), abs=1e-5)


def test_nearness_looks_farther_back_than_the_prompt():
    states = {name: unit(SHOP.item(item)) for name, item in zip("abfcd", items("abfcd"), strict=True)}
    for reach, known in ((None, "ab"), (1, "ab"), (3, "fab"), (50, "fab")):
        scored = ranker(card=card(near=4.0, history=2, reach=reach)).score(items("fab"), items("cd"))
        cosines = np.array([[states[own] @ states[other] for other in "cd"] for own in known])
        wanted = np.log(np.exp(4 * cosines).mean(axis=0)) / 4
        assert scored.parts["nearness"] == pytest.approx(wanted, abs=1e-6)
        assert (scored.settings["history_shown"], scored.settings.get("reach")) == (2, reach)


def test_focus_is_the_temperature_of_nearness_and_near_its_weight():
    scored = ranker(card=card(near=4.0, focus=9.0, history=2)).score(items("ab"), items("cd"))
    states = {name: unit(SHOP.item(item)) for name, item in zip("abcd", items("abcd"), strict=True)}
    cosines = np.array([[states[own] @ states[other] for other in "cd"] for own in "ab"])
    assert scored.parts["nearness"] == pytest.approx(np.log(np.exp(9 * cosines).mean(axis=0)) / 9, abs=1e-6)
    assert scored.weights["nearness"] == 4.0
    assert scored.settings["focus"] == 9.0


@pytest.mark.parametrize(
    ("options", "weight"),
    [
        ({"task": "uniform"}, 2.0),
        ({"task": "popular"}, 0.0),
        ({"task": "popular", "popularity": 3.0}, 3.0),
        ({"task": "uniform", "popularity": 0.0}, 0.0),
    ],
)
def test_the_popularity_weight_is_the_tasks_or_the_given_one(options, weight):
    made = ranker(card=card(popularity={"catalogue": 0.5, "uniform": 2.0}), **options)
    assert made.score(items("a"), items("bc")).weights.get("popularity", 0.0) == weight
    assert made.settings["popularity"] == weight


def test_without_logs_there_is_no_popularity():
    made = ranker(data=dataset(NAMES), card=card(popularity={"catalogue": 0.5}), popularity=3.0)
    assert made.score(items("a"), items("bc")).weights == {"encoder": 8.0}
    assert made.settings["popularity"] == 0.0


def test_untrained_states_say_so():
    assert ranker(card=None).settings["untrained"] is True
    assert ranker(card=card(mode="likelihood", scale=None)).settings["untrained"] is True
    assert "untrained" not in ranker(card=card(templates={"films": "0" * 16})).settings
    assert "untrained" not in ranker(card=card()).settings


@pytest.mark.parametrize(
    "given",
    [
        None,
        card(templates={"films": "0" * 16}, near=4.0, history=2),
        card(unlabelled=("shop",), near=4.0, history=2, popularity={"catalogue": 0.5}),
        card(centred=True, near=4.0, focus=9.0, reach=5, history=2),
    ],
)
def test_where_nothing_was_trained_centred_item_states_are_compared(given):
    """What most items share is taken off: by hand, log mean exp of cosines of the rest."""
    backend = States()
    scored = ranker(backend, card=given).score(items("fab"), items("cd"))
    centre = np.mean([unit(SHOP.item(item)) for item in DATA.items], axis=0)
    rest = {item.item_id: unit(SHOP.item(item)) - centre for item in DATA.items}
    rest = {name: state / np.linalg.norm(state) for name, state in rest.items()}
    shown = "fab"[-given.history :] if given else "fab"
    cosines = np.array([[rest[own] @ rest[other] for other in "cd"] for own in shown])
    wanted = np.log(np.exp(ELSEWHERE_NEAR * cosines).mean(axis=0)) / ELSEWHERE_NEAR
    assert scored.parts["encoder"] == pytest.approx(wanted, abs=1e-5)
    assert scored.weights == {"encoder": ELSEWHERE_SCALE}
    assert (scored.settings["centred"], scored.settings["history_shown"]) == (True, len(shown))
    assert sorted(backend.asked) == sorted((None, SHOP.item(item)) for item in DATA.items)
    whole = EncoderScorer(ranker(card=given)).score(items("fab"))
    assert whole[[2, 3]] == pytest.approx(combine(scored), abs=1e-5)


def test_a_card_that_says_centred_still_knows_what_popularity_is_worth():
    alone = ranker(card=card(centred=True)).score(items("ab"), items("cdf"))
    both = ranker(card=card(centred=True, popularity={"catalogue": 0.5})).score(items("ab"), items("cdf"))
    assert both.weights == {"encoder": ELSEWHERE_SCALE, "popularity": 0.5}
    assert combine(both) - combine(alone) == pytest.approx(0.5 * np.log([4, 2, 1]), abs=1e-6)


def test_the_centre_does_not_depend_on_the_order_of_the_catalogue():
    names = [f"i{n}" for n in range(SAMPLE + 40)]
    forth = ranker(data=dataset(names), card=None).score(items(names[:2]), items(names[2:5]))
    back = ranker(data=dataset(names[::-1]), card=None).score(items(names[:2]), items(names[2:5]))
    assert forth.parts["encoder"] == pytest.approx(back.parts["encoder"], abs=1e-5)


def test_one_item_alone_in_the_catalogue_is_no_error():
    scored = ranker(data=dataset("a"), card=None).score(items("a"), items("bc"))
    assert np.isfinite(scored.parts["encoder"]).all()


def test_the_history_is_as_long_as_in_training():
    backend = States()
    scored = ranker(backend, card=card(history=3)).score(items("abcde"), items("f"))
    assert (scored.settings["history_shown"], scored.settings["history_total"]) == (3, 5)
    assert backend.asked[-1] == (None, SHOP.history(items("cde")).text)


def test_a_history_that_does_not_fit_is_shown_shorter_and_counted():
    room = States().count_tokens(SHOP.history(items("cd")).text)
    scored = ranker(States(context=room), card=card(history=4)).score(items("abcd"), items("ef"))
    assert scored.events == {"history_dropped": 2}
    assert scored.settings["history_shown"] == 2
    assert scored.parts["encoder"] == pytest.approx(cosines(items("cd"), items("ef")), abs=1e-6)
    with pytest.raises(ContextOverflow):
        ranker(States(context=3)).score(items("abcd"), items("ef"))


def test_a_domain_that_the_adapter_was_not_trained_on_is_counted():
    scored = ranker(card=card(templates={"books": "0" * 16})).score(items("a"), items("b"))
    assert scored.events == {"adapter_foreign_domain": 1}


def test_an_empty_history_is_an_error():
    for ask in (lambda r: r.score([], items("a")), lambda r: r.catalogue([])):
        with pytest.raises(DataError, match="history is empty"):
            ask(ranker())


def test_a_backend_that_cannot_embed_is_refused():
    backend = States()
    backend.info = dataclasses.replace(backend.info, can=frozenset({"score"}))
    with pytest.raises(Unsupported, match="Mode 'encoder' asks for 'embed'"):
        ranker(backend)


def test_an_item_is_encoded_once_per_catalogue_text_model_and_adapter(tmp_path):
    backend = States()
    made = ranker(backend)
    made.prepare(items("bc"))
    assert sorted(backend.take()) == [SHOP.item(i) for i in items("bc")]
    made.score(items("a"), items("bcd"))
    assert backend.take() == [SHOP.item(items("d")[0]), SHOP.history(items("a")).text]
    made.catalogue(items("a"))
    assert sorted(backend.take()) == [SHOP.item(i) for i in items("aef")]
    other = States()  # another process
    ranker(other).catalogue(items("a"))
    assert other.take() == [SHOP.history(items("a")).text]
    larger = dataset([*NAMES, "new"])
    ranker(other, larger).catalogue(items("b"))
    assert other.take() == [SHOP.item(items(["new"])[0]), SHOP.history(items("b")).text]
    adapted = States()
    adapted.use("an/adapter")
    ranker(adapted).catalogue(items("a"))
    assert len(adapted.take()) == 1 + len(NAMES)


def test_who_asks_for_most_of_the_catalogue_gets_it_all():
    backend = States()
    made = ranker(backend)
    made.score(items("ab"), items("cdef"))
    backend.take()
    made.score(items("cd"), items("abef"))
    assert backend.take() == [SHOP.history(items("cd")).text]


def test_encoding_goes_on_where_it_was_killed():
    names = [f"i{n}" for n in range(BATCH + 20)]
    data = dataset(names)

    class Dying(States):
        def embed(self, texts):
            if len(self.asked) >= BATCH:
                raise KeyboardInterrupt
            return super().embed(texts)

    with pytest.raises(KeyboardInterrupt):
        ranker(Dying(), data).catalogue(items("a"))
    backend = States()
    ranker(backend, data).catalogue(items("a"))
    assert len(backend.take()) == 1 + 20


def test_encoding_tells_its_progress():
    heard = []
    with reporting(lambda *told: heard.append(told)):
        ranker().catalogue(items("a"))
        ranker().catalogue(items("a"))
    assert heard == [("Encoding the catalogue", 0, 1), ("Encoding the catalogue", 1, 1)]


def test_a_warm_call_is_one_forward_and_reads_no_file(monkeypatch):
    backend = States()
    made = ranker(backend)
    made.catalogue(items("a"))
    backend.take()
    monkeypatch.setattr("llmrec_prompt.cache.NumberStore.get", None)
    scored = made.score(items("b"), DATA.items)
    assert backend.take() == [SHOP.history(items("b")).text]
    assert combine(scored) == pytest.approx(made.catalogue(items("b")))
    assert backend.take() == []  # the state of the latest history is remembered


def test_a_candidate_from_outside_the_catalogue_is_encoded_on_the_fly():
    outside = Item(item_id="x", title="Unheard of")
    made = ranker(popularity=1.0)
    scored = made.score(items("ab"), [items("c")[0], outside, items("d")[0]])
    expected = cosines(items("ab"), [items("c")[0], outside, items("d")[0]])
    assert scored.parts["encoder"] == pytest.approx(expected, abs=1e-6)
    assert scored.parts["popularity"] == pytest.approx(np.log([4, 1, 2]))
    alone = ranker().score(items("ab"), [outside])
    assert alone.parts["encoder"] == pytest.approx(expected[1:2], abs=1e-6)


def test_as_a_scorer_it_covers_the_catalogue():
    made = ranker(card=card(popularity={"catalogue": 0.5}))
    scorer = EncoderScorer(made)
    assert scorer.name == "encoder"
    assert scorer.score(items("ab")) == pytest.approx(combine(made.score(items("ab"), DATA.items)))
    assert scorer.settings == {"scale": 8.0, "popularity": 0.5, "task": "catalogue"}


def test_a_ranking_says_where_it_comes_from():
    backend = States()
    backend.use("an/adapter")
    said = rank(ranker(backend, card=card("films")), items("a"), items("bc")).provenance
    assert (said.mode, said.model, said.adapter) == ("encoder", "fake:function", "films")
    assert said.adapter_hash == "an/adapter"
    assert said.template_fingerprint == SHOP.fingerprint
    assert said.tokens_evaluated == backend.usage.evaluated > 0


def test_reasons_cost_one_forward_for_each_item_left_out():
    backend = States()
    made = ranker(backend, card=card(history=10, popularity={"catalogue": 0.5}))
    history = [Item(item_id=t, title=t) for t in ("night train", "sea air", "old town")]
    candidate = Item(item_id="new", title="sea view")
    weights = made.score(history, [candidate]).weights
    backend.take()
    reasons = leave_one_out(made, history, [candidate], weights)[0]
    left = [history[1:], [history[0], history[2]], history[:2]]
    assert backend.take() == [SHOP.history(items_).text for items_ in left]
    assert [reason.item.title for reason in reasons] == ["sea air"]
    gain = cosines(history, [candidate])[0] - cosines(left[1], [candidate])[0]
    assert reasons[0].gain == pytest.approx(8 * gain, abs=1e-5)


class Dense(FakeBackend):
    """States as wide as a real model's, fixed by the text."""

    def __init__(self):
        super().__init__(lambda prompt, text: 0.0)
        self.info = dataclasses.replace(self.info, dimensions=576)

    def embed(self, texts):
        seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") for text in texts]
        return np.stack([np.random.default_rng(seed).normal(size=576) for seed in seeds]).astype(np.float32)


def test_equal_texts_have_equal_scores_in_every_place():
    """A matrix product may give equal rows scores that differ in the last bit."""
    twins = [Item(item_id=f"t{n}", title="TWIN") for n in range(6)]
    others = [Item(item_id=f"o{n}", title=f"OTHER {n}") for n in range(61)]
    ours = ranker(Dense(), data=dataset("z"), card=card(near=4.0))
    for turn in range(67):
        asked = [*others, *twins][turn:] + [*others, *twins][:turn]
        total = combine(ours.score(items("ab"), asked))
        assert len({total[i] for i, item in enumerate(asked) if item.title == "TWIN"}) == 1


def test_cut_titles_are_counted():
    long = Item(item_id="long", title="word " * 200)
    for given in (card(), None):
        ours = ranker(card=given, data=Dataset.from_rows([*items("ab"), long], []))
        assert ours.score(items("a"), [*items("b"), long]).events["text_cut"] == 1
        assert "text_cut" not in ours.score(items("a"), items("b")).events
        assert ours.score([long], items("b")).events["text_cut"] >= 1


def test_a_cut_title_of_the_history_is_counted_the_first_time():
    long = Item(item_id="long", title="word " * 200)
    data = Dataset.from_rows([*items("abcdefgh"), long], [])  # so many that the rest is not read along
    ours = ranker(card=None, data=data)
    assert ours.score([long], items("b")).events["text_cut"] == 1
