import pytest

torch = pytest.importorskip("torch", reason="training is NOT TESTED: the extra [hf] is not installed")
pytest.importorskip("peft", reason="training is NOT TESTED: the extra [hf] is not installed")

from llmrec_prompt.adapt.network import Network  # noqa: E402
from llmrec_prompt.adapt.packed import likelihoods  # noqa: E402
from llmrec_prompt.adapt.recipe import Lora  # noqa: E402

PROMPTS = [[5, 9, 11, 40, 7, 13, 14], [8, 21, 3]]
LINES = [[[30, 31, 32], [44], [30, 50, 51, 52, 53]], [[17, 18], [60, 61, 62], [19]]]
SIZES = {"vocab_size": 100, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}


def model(kind, attention):
    import transformers

    more = {
        "Llama": {},
        "Mistral": {"sliding_window": 4},
        "Qwen2": {},
        "Gemma3": {
            "sliding_window": 4,
            "head_dim": 8,
            "layer_types": ["sliding_attention"] * 2 + ["full_attention"],
        },
    }[kind]
    name = "Gemma3Text" if kind == "Gemma3" else kind
    config = getattr(transformers, f"{name}Config")(**SIZES, **HEADS, **more, attn_implementation=attention)
    torch.manual_seed(0)
    return getattr(transformers, f"{kind}ForCausalLM")(config).requires_grad_(False)


def alone(network, prompt, line):
    """Log-probability of a line by the model's own forward."""
    logits = network.model(input_ids=torch.tensor([[*prompt, *line]])).logits[0].log_softmax(-1)
    return sum(logits[len(prompt) - 1 + i, token] for i, token in enumerate(line))


@pytest.mark.parametrize("kind", ["Llama", "Mistral", "Qwen2", "Gemma3"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_side_by_side_is_as_alone_with_the_same_gradient(kind, attention):
    network = Network(model(kind, attention), Lora(layers=2))
    learnt = [p for _, p in network.trainable]
    for parameter in learnt:
        torch.nn.init.normal_(parameter, std=0.1)
    wanted = torch.stack(
        [
            torch.stack([alone(network, p, line) for line in lines])
            for p, lines in zip(PROMPTS, LINES, strict=True)
        ]
    )
    found = likelihoods(network, PROMPTS, LINES)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    ours, theirs = (torch.autograd.grad(v.sum(), learnt, retain_graph=True) for v in (found, wanted))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
