import pytest

torch = pytest.importorskip("torch", reason="training is NOT TESTED: the extra [hf] is not installed")
pytest.importorskip("peft", reason="training is NOT TESTED: the extra [hf] is not installed")

from llmrec_prompt.adapt.dense import Dense, Lesson, Lessons, Part  # noqa: E402
from llmrec_prompt.adapt.histories import Window  # noqa: E402
from llmrec_prompt.adapt.recipe import Source, Stage  # noqa: E402
from llmrec_prompt.errors import DataError  # noqa: E402

FOUND = [[Window((s, i), (1,), (i,), (s,), None) for i in range(10)] for s in range(3)]


def lessons(objectives, labelled, weights=(1, 1, 1), steps=60):
    given = zip(range(3), labelled, weights, strict=True)
    sources = [Source(data=f"d{i}", labelled=known, weight=weight) for i, known, weight in given]
    stage = Stage(name="a", sources=sources, objectives=objectives, steps=steps, batch=4)
    return Lessons(FOUND, sources, stage, seed=0)


def drawn(found):
    return [tuple(part.source for part in found[step].parts) for step in range(len(found))]


def test_a_step_has_one_source_drawn_by_weight():
    sources = drawn(lessons({"encode": 1}, (True,) * 3, weights=(1, 1, 8), steps=200))
    assert {len(parts) for parts in sources} == {1}
    assert 0.7 < sum(parts == (2,) for parts in sources) / 200 < 0.9


def test_unlabelled_sources_come_beside_a_labelled_one():
    sources = drawn(lessons({"encode": 1, "predictive": 1}, (True, False, False)))
    assert set(sources) == {(0, 1), (0, 2)}


def test_adversarial_compares_two_sources_in_every_step():
    sources = drawn(lessons({"encode": 1, "adversarial": 1}, (True,) * 3))
    assert set(sources) == {(a, b) for a in range(3) for b in range(3) if a != b}


def test_unlabelled_sources_alone_are_read_one_by_one():
    assert set(drawn(lessons({"predictive": 1}, (False,) * 3))) == {(0,), (1,), (2,)}


def test_all_windows_come_round_before_one_comes_again():
    found = lessons({"encode": 1}, (True,) * 3, weights=(1, 1e-9, 1e-9), steps=5)
    seen = [w.tokens for step in range(5) for w in found[step].parts[0].windows]
    assert sorted(seen[:10]) == sorted(seen[10:]) == sorted(w.tokens for w in FOUND[0])


def test_a_source_without_histories_is_named():
    sources = [Source(data="here"), Source(data="empty")]
    with pytest.raises(DataError, match="empty has no history"):
        Lessons([FOUND[0], []], sources, Stage(name="a", sources=sources), seed=0)


class Plain(torch.nn.Module):
    """States are the tokens."""

    def states(self, sequences):
        return torch.tensor(sequences, dtype=torch.float32)[:, :, None]


class Recorder(torch.nn.Module):
    """An objective that writes down whose states it was shown."""

    def __init__(self):
        super().__init__()
        self.shown = []

    def loss(self, states, source, batch):
        assert [tuple(map(int, row[:, 0])) for row in states] == [w.tokens for w in batch]
        self.shown.append(source)
        return torch.tensor(float(source + 1))


def test_an_unlabelled_source_is_hidden_from_objectives_with_answers():
    objectives = {"encode": Recorder(), "predictive": Recorder()}
    module = Dense(Plain(), objectives, {"encode": 2.0, "predictive": 10.0}, [True, False, True])
    parts = tuple(Part(source, tuple(FOUND[source][:3])) for source in (0, 1))
    loss = module(Lesson(0, parts))["loss"]
    assert objectives["encode"].shown == [0]
    assert objectives["predictive"].shown == [0, 1]
    assert loss == 2.0 * 1 + 10.0 * (1 + 2) / 2
