import pytest

torch = pytest.importorskip("torch", reason="training is NOT TESTED: the extra [hf] is not installed")
pytest.importorskip("peft", reason="training is NOT TESTED: the extra [hf] is not installed")

from llmrec_prompt.adapt.objectives.next_item import NextItem, spelt_out  # noqa: E402

from ..learning import bench, learn, quality  # noqa: E402


@pytest.mark.hf
def test_it_learns_what_is_planted_and_shuffled_it_does_not(tiny, ring):
    given = bench(tiny, {"next_item": 1}, [ring])
    assert given.course.mode == "likelihood"
    before = quality(given)
    first, last = learn(given)
    assert last < 0.6 * first
    assert quality(given) > max(0.6, before + 0.2)
    control = bench(tiny, {"next_item": 1}, [ring], shuffle_targets=True)
    learn(control)
    assert quality(control) < before + 0.05


@pytest.mark.hf
def test_beside_encode_both_losses_fall_from_one_forward(tiny, ring):
    given = bench(tiny, {"encode": 1, "next_item": 0.3}, [ring])
    calls = []
    states = given.network.states
    given.network.__dict__["states"] = lambda *a, **o: calls.append(len(a[0])) or states(*a, **o)
    given.course.module(given.lessons[0])
    first = dict(given.course.module.last)
    histories = [size for size in calls if size == len(given.lessons[0].parts[0].windows)]
    assert len(histories) == 1
    learn(given)
    assert all(given.course.module.last[name] < 0.7 * first[name] for name in ("encode", "next_item"))
    assert given.course.mode == "encoder"


def test_only_tokens_after_the_first_line_count(tiny, ring):
    given = bench(tiny, {"next_item": 1}, [ring])
    _, texts = given.sources[0]
    (part,) = given.lessons[0].parts
    batch = part.windows[:3]
    network = given.network
    states = network.states([w.tokens for w in batch])
    found = NextItem(network).loss(states, 0, batch)
    sums, count = 0.0, 0
    for window in batch:
        lines = [*window.rows[1:], window.targets[-1]]
        tail = [token for row in lines for token in texts.line(row)]
        head = texts.prompt(window.rows[:1])
        assert [*head, *tail] == list(window.tokens)
        logits = network.model(input_ids=torch.tensor([window.tokens])).logits[0].log_softmax(-1)
        sums += sum(logits[len(head) - 1 + i, token] for i, token in enumerate(tail))
        count += len(tail)
    torch.testing.assert_close(found, -sums / count, rtol=1e-4, atol=1e-4)


def test_spelling_out_leaves_the_ends(tiny, ring):
    given = bench(tiny, {"encode": 1}, [ring])
    window = given.lessons.windows[0][0]
    longer = spelt_out(window, given.sources[0][1])
    assert longer.ends == window.ends
    assert longer.tokens[: len(window.tokens)] == window.tokens
    assert len(longer.tokens) > len(window.tokens)
