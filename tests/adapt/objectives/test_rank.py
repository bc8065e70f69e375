import pytest

torch = pytest.importorskip("torch", reason="training is NOT TESTED: the extra [hf] is not installed")
pytest.importorskip("peft", reason="training is NOT TESTED: the extra [hf] is not installed")

from llmrec_prompt.adapt.objectives.rank import Rank  # noqa: E402
from llmrec_prompt.adapt.questions import Question  # noqa: E402

from ..learning import bench, learn, quality  # noqa: E402


@pytest.mark.hf
def test_it_learns_what_is_planted_and_shuffled_it_does_not(tiny, ring):
    given = bench(tiny, {"rank": 1}, [ring])
    assert given.course.mode == "likelihood"
    before = quality(given)
    first, last = learn(given)
    assert last < 0.6 * first
    assert quality(given) > max(0.6, before + 0.2)
    control = bench(tiny, {"rank": 1}, [ring], shuffle_targets=True)
    learn(control)
    assert quality(control) < before + 0.05


def alone(network, prompt, line):
    logits = network.model(input_ids=torch.tensor([[*prompt, *line]])).logits[0].log_softmax(-1)
    return sum(logits[len(prompt) - 1 + i, token] for i, token in enumerate(line))


@pytest.mark.hf
def test_the_loss_by_hand_with_the_gradient_of_the_prior(tiny, ring):
    given = bench(tiny, {"rank": 1}, [ring])
    _, texts = given.sources[0]
    network = given.network
    learnt = [p for _, p in network.trainable]
    for parameter in learnt:
        torch.nn.init.normal_(parameter, std=0.1)
    question = Question((3, 4, 5), (9, 6, 20), 1)
    found = Rank(network, [texts]).loss(0, [question])
    scores = torch.stack(
        [
            alone(network, texts.prompt(question.history), texts.line(row))
            - alone(network, texts.prompt(()), texts.line(row))
            for row in question.candidates
        ]
    )
    wanted = -scores.log_softmax(0)[1]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    ours, theirs = (torch.autograd.grad(value, learnt, retain_graph=True) for value in (found, wanted))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
