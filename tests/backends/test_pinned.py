import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from llmrec_prompt.backends import Backend, PinnedBackend, ScoreRequest, turns_of
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


class Slow(Switching):
    """Takes its time, in which another thread may switch; says if it was asked twice at once."""

    def __init__(self, at_once=1):
        super().__init__()
        self.info = replace(self.info, at_once=at_once)
        self.inside, self.most, self.lock = 0, 0, threading.Lock()

    def embed(self, texts):
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        time.sleep(0.01)
        found = super().embed(texts)
        with self.lock:
            self.inside -= 1
        return found


def ask_from_threads(shared, adapters):
    pinned = [PinnedBackend(shared, adapter) for adapter in adapters]
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda one: one.embed(["a"]).tolist(), pinned))


def test_threads_wait_for_their_turn_and_never_see_another_adapter():
    adapters = ["a", "bc", None] * 8
    shared = Slow()
    alone = {adapter: PinnedBackend(Slow(), adapter).embed(["a"]).tolist() for adapter in set(adapters)}
    assert ask_from_threads(shared, adapters) == [alone[adapter] for adapter in adapters]
    assert shared.most == 1


def test_a_server_is_asked_several_times_at_once_under_one_adapter():
    shared = Slow(at_once=4)
    ask_from_threads(shared, ["a"] * 16)
    assert shared.most > 1
    adapters = ["a", "bc"] * 8
    found = ask_from_threads(shared, adapters)
    assert found[::2] == [found[0]] * 8
    assert found[1::2] == [found[1]] * 8
    assert found[0] != found[1]


def test_a_turn_ends_with_an_error_too():
    class Failing(Switching):
        def choose(self, prompts, labels):
            raise RuntimeError

    pinned = PinnedBackend(Failing(), "a")
    for _ in range(2):
        with pytest.raises(RuntimeError):
            pinned.choose(["a"], ["x"])


def test_nobody_is_kept_out_by_those_whose_adapter_is_in_force():
    shared, stop, found = Slow(at_once=4), threading.Event(), []

    def again():
        while not stop.is_set():
            PinnedBackend(shared, "a").embed(["a"])

    threads = [threading.Thread(target=again, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    other = threading.Thread(
        target=lambda: found.append(PinnedBackend(shared, "bc").embed(["a"])), daemon=True
    )
    other.start()
    other.join(timeout=10)
    stop.set()
    for thread in threads:
        thread.join(timeout=10)
    assert found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_process_waits_for_no_thread_that_it_does_not_have():
    shared = Slow()
    with turns_of(shared).under(shared, "a"):
        child = os.fork()
        if not child:
            PinnedBackend(shared, "a").embed(["a"])
            os._exit(0)
        deadline = time.monotonic() + 10
        while (done := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
            time.sleep(0.01)
        if done == (0, 0):
            os.kill(child, 9)
    assert done[1] == 0
    assert done[0] == child


def test_models_that_cannot_be_hashed_or_watched_have_turns_as_well():
    class Odd(Switching):
        __hash__ = None

        def __eq__(self, other):
            return True

    one, other = Odd(), Odd()
    assert turns_of(one) is turns_of(one)
    assert turns_of(one) is not turns_of(other)
