import pytest

torch = pytest.importorskip("torch", reason="training is NOT TESTED: the extra [hf] is not installed")
pytest.importorskip("peft", reason="training is NOT TESTED: the extra [hf] is not installed")

import copy  # noqa: E402

import numpy as np  # noqa: E402

from llmrec_prompt.adapt.histories import positions  # noqa: E402
from llmrec_prompt.adapt.objectives.answers import Answers, Label, YesNo  # noqa: E402
from llmrec_prompt.adapt.questions import Draw, Question  # noqa: E402
from llmrec_prompt.data.splits import seeded_order  # noqa: E402
from llmrec_prompt.errors import BackendError  # noqa: E402

from ..learning import bench, learn, quality, source  # noqa: E402


@pytest.mark.hf
def test_yes_no_learns_what_is_planted_and_shuffled_it_does_not(deep, groups):
    found = []
    for shuffle in (False, True):
        some = {"steps": 30 if shuffle else 90, "batch": 12, "shuffle_targets": shuffle}
        given = bench(deep, {"yes_no": 1}, [groups], **SMALL, **some)
        _, last = learn(given)
        found.append((last, quality(given)))
    assert given.course.mode == "yes_no"
    assert found[0][0] < 0.45  # a coin costs 0.69
    assert found[1][0] > 0.6
    assert found[0][1] > 0.6
    assert found[1][1] < 0.45


SMALL = {"history": 1, "candidates": 2}


def share_right(given):
    """Of questions about users who were held out; 0.5 by chance."""
    population, texts = given.sources[0]
    held_out = copy.copy(population)
    held_out.users = seeded_order(list(population.dataset.users), 0)[:20]
    draw, objective = Draw(population, 2, 99), given.course.module.objective
    questions = [draw(w, (i,)) for i, w in enumerate(positions(held_out, texts, 1))]
    return np.mean([int(np.argmax(objective.scores(0, q))) == q.answer for q in questions])


@pytest.mark.hf
def test_label_learns_what_is_planted_and_shuffled_it_does_not(tiny, groups):
    found = []
    for shuffle in (False, True):
        sources = [source(groups, validation=0)]
        steps = 60 if shuffle else 200
        given = bench(tiny, {"label": 1}, sources, **SMALL, steps=steps, shuffle_targets=shuffle)
        _, last = learn(given, lr=1e-2)
        found.append((last, share_right(given)))
    assert given.course.mode == "label"
    assert found[0][0] < 0.6  # a coin costs 0.69
    assert found[1][0] > 0.65
    assert found[0][1] > 0.7
    assert found[1][1] < 0.65


@pytest.mark.hf
def test_label_is_validated_on_all_letters(tiny, ring):
    given = bench(tiny, {"label": 1}, [ring], candidates=20, steps=1)
    assert 0 < quality(given) < 1


@pytest.mark.hf
def test_losses_by_hand(tiny, ring):
    given = bench(tiny, {"encode": 1}, [ring])
    (_, texts), network = given.sources[0], given.network
    question, items = Question((3, 4, 5), (9, 6, 20), 1), texts.dataset.items

    def logits(prompt, answers):
        tokens = [texts.tokens(f"{prompt} {answer}")[-1] for answer in answers]
        return network.model(input_ids=torch.tensor([texts.tokens(prompt)])).logits[0, -1, tokens]

    history, candidates = [items[row] for row in (3, 4, 5)], [items[row] for row in (9, 6, 20)]
    rows = [logits(texts.prompter.yes_no(history, item), ("Yes", "No")).log_softmax(0) for item in candidates]
    wanted = -(rows[0][1] + rows[1][0] + rows[2][1]) / 3
    torch.testing.assert_close(YesNo(network, [texts]).loss(0, [question]), wanted, rtol=1e-4, atol=1e-5)
    row = logits(texts.prompter.label(history, candidates), "ABC")
    label = Label(network, [texts])
    torch.testing.assert_close(label.loss(0, [question]), -row.log_softmax(0)[1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(label.scores(0, question), row.detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.hf
def test_answers_must_be_single_and_distinct_tokens(tiny, ring):
    given = bench(tiny, {"encode": 1}, [ring])
    texts = [given.sources[0][1]]

    class Odd(YesNo):
        def __init__(self, answers):
            Answers.__init__(self, given.network, texts, answers)

    with pytest.raises(BackendError, match="not exactly one token"):
        Odd(("Yes", "Certainly not"))
    with pytest.raises(BackendError, match="same token"):
        Odd(("Yes", "Yes"))


@pytest.mark.hf
def test_questions_are_not_kept_on_disk(tiny, ring, monkeypatch, tmp_path):
    from llmrec_prompt.adapt.network import Network, load_base
    from llmrec_prompt.adapt.recipe import Lora

    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path))
    given = bench(tiny, {"encode": 1}, [ring])
    network = Network(load_base(str(tiny), precision="fp32")[1], Lora(layers=1), base_hash="abc")
    kept = []
    network._keep = kept.append
    Label(network, [given.sources[0][1]]).loss(0, [Question((3,), (9, 6), 1)])
    assert kept == []
