import pytest

torch = pytest.importorskip("torch", reason="training is NOT TESTED: the extra [hf] is not installed")
pytest.importorskip("peft", reason="training is NOT TESTED: the extra [hf] is not installed")

from llmrec_prompt.adapt import tokens  # noqa: E402
from llmrec_prompt.adapt.network import Network, load_base  # noqa: E402
from llmrec_prompt.adapt.recipe import Lora  # noqa: E402


@pytest.fixture
def network(tiny):
    return Network(load_base(str(tiny), precision="fp32")[1], Lora())


def given(network, count=10):
    states = torch.randn(count, network.model.config.hidden_size, generator=torch.Generator().manual_seed(0))
    return states.requires_grad_(), list(range(20, 20 + count))


def test_blocks_give_what_the_whole_gives_with_the_same_gradient(network, monkeypatch):
    found = []
    for rows in (3, 10, 1000):
        monkeypatch.setattr(tokens, "LOGIT_BYTES", rows * 4 * network.model.config.vocab_size)
        states, wanted = given(network)
        values = tokens.log_probabilities(network, states, wanted)
        values.sum().backward()
        found.append((values.detach(), states.grad))
    for values, gradient in found:
        torch.testing.assert_close(values, found[-1][0])
        torch.testing.assert_close(gradient, found[-1][1])


def test_values_are_log_softmax(network):
    states, wanted = given(network)
    whole = network.logits(states).log_softmax(-1)[torch.arange(10), wanted]
    torch.testing.assert_close(tokens.log_probabilities(network, states, wanted), whole)


def test_no_block_is_larger_than_said(network, monkeypatch):
    sizes = []
    logits = network.logits
    monkeypatch.setattr(network, "logits", lambda states: sizes.append(len(states)) or logits(states))
    monkeypatch.setattr(tokens, "LOGIT_BYTES", 4 * 4 * network.model.config.vocab_size)
    tokens.log_probabilities(network, *given(network)).sum().backward()
    assert sorted(set(sizes)) == [2, 4]
    assert sum(sizes) == 20  # once forward, once again for the gradient
