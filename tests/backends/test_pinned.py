import pytest

from llmrec_prompt.backends import Backend, PinnedBackend, ScoreRequest
from llmrec_prompt.backends.fake import FakeBackend


class Switching(FakeBackend):
    """Scores by the adapter's name and counts switches."""

    def __init__(self):
        super().__init__(lambda prompt, text: -float(len(self.adapter or "")), answer=lambda _: self.adapter)
        self.switches = []

    def use(self, adapter):
        self.switches.append(adapter)
        super().use(adapter)

    def embed(self, texts):
        return super().embed([self.adapter or "base"] * len(texts))


ASKED = [ScoreRequest("a", ["b"])]
CALLS = {
    "score": lambda b: b.score(ASKED),
    "choose": lambda b: b.choose(["a"], ["x", "y"])[0].mass,
    "generate": lambda b: b.generate([]),
    "embed": lambda b: b.embed(["a"]).tolist(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_each_call_is_answered_under_its_own_adapter(call):
    shared = Switching()
    base, one, three = (PinnedBackend(shared, a) for a in (None, "a", "abc"))
    cold = [call(b) for b in (base, one, three)]
    assert cold[0] != cold[1] != cold[2]
    assert [call(b) for b in (three, base, one)] == [cold[2], cold[0], cold[1]]
    assert call(one) == cold[1]


def test_it_switches_only_where_another_adapter_is_in_force():
    shared = Switching()
    base, one = PinnedBackend(shared, None), PinnedBackend(shared, "a")
    for backend in (base, base, one, one, base):
        backend.score(ASKED)
    assert shared.switches == ["a", None]
    assert (base.adapter, one.adapter) == (None, "a")
    one.use("b")
    assert shared.switches == ["a", None]
    one.score(ASKED)
    assert shared.adapter == "b"


def test_the_rest_is_the_shared_backends():
    shared = Switching()
    pinned = PinnedBackend(shared, "a")
    assert isinstance(pinned, Backend)
    assert pinned.info is shared.info
    assert pinned.count_tokens("one two") == 2
    pinned.score(ASKED)
    assert pinned.usage.evaluated == shared.usage.evaluated == 1


def test_it_says_what_is_loaded_not_what_the_files_are_now(tmp_path):
    weights = tmp_path / "adapter.gguf"
    weights.write_text("first")
    pinned = PinnedBackend(Switching(), str(weights))
    first = pinned.adapter_hash
    weights.write_text("second")
    assert pinned.adapter_hash == first
    assert PinnedBackend(Switching(), str(weights)).adapter_hash != first
    assert PinnedBackend(Switching(), None).adapter_hash == ""
