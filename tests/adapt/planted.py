"""Data sets whose next item can be learnt, and a tiny random language model to learn it."""

import csv
import json
import random
from pathlib import Path

GROUPS = ("amber", "bronze", "copper", "dusk", "ember", "frost")
SYLLABLES = ("ba", "ke", "di", "lo", "mu", "ra", "se", "ti", "vo", "zu")
SIZE = 36
"""Items; validation wants 19 that a user does not have."""
ANSWERS = " Yes No" + "".join(f" {letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def word(seed: int) -> str:
    """A made-up word, another for every number below 1000.

    >>> word(0), word(123)
    ('bababa', 'kedilo')
    """
    return "".join(SYLLABLES[seed // 10**place % 10] for place in (2, 1, 0))


def titles(first: int = 0, size: int = SIZE) -> list[str]:
    """A group's word and one of its own, groups by turns; `first` gives another catalogue."""
    return [f"{GROUPS[i % len(GROUPS)].title()} {word(first + i).title()}" for i in range(size)]


def walks(count: int, length: int, step: int, seed: int, size: int = SIZE) -> list[list[int]]:
    """Histories from random starts, each item `step` rows after the last one.

    Step 1 leads from group to group, so that nothing in the texts tells the next item before it is learnt;
    a step of len(GROUPS) stays in the group, so that its word does.
    """
    dice = random.Random(seed)
    starts = [dice.randrange(size) for _ in range(count)]
    return [[(start + step * k) % size for k in range(length)] for start in starts]


def plant(
    folder: Path,
    *,
    users: int = 60,
    length: int = 9,
    step: int = 1,
    first: int = 0,
    seed: int = 0,
    domain: str = "movies",
) -> Path:
    """Write a data set in the two-file form; without `users` it is a catalogue alone.

    Ids of items differ between seeds: walks of another seed begin alike, and are nobody the same.
    """
    folder.mkdir(parents=True)
    item = f"s{seed}i" if seed else "i"
    rows = [{"item_id": f"{item}{i}", "title": title} for i, title in enumerate(titles(first))]
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    meta = {"name": folder.name, "domain": domain, "licence": "CC0-1.0"}
    (folder / "meta.json").write_text(json.dumps(meta))
    if users:
        with (folder / "interactions.csv").open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(("user_id", "item_id", "timestamp"))
            for user, walk in enumerate(walks(users, length, step, seed)):
                out.writerows((f"u{user}", f"{item}{row}", when) for when, row in enumerate(walk))
    return folder


def tiny_model(folder: Path, *, layers: int = 2, width: int = 64, seed: int = 0) -> Path:
    """A random causal language model and a byte-level tokenizer that knows the planted words."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = byte_level_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        initializer_range=width**-0.5,
    )
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    LlamaForCausalLM(config).save_pretrained(folder)
    torch.set_rng_state(state)
    tokenizer.save_pretrained(folder)
    return folder


def byte_level_tokenizer():
    """Byte-level BPE over the planted words, so that a word is about one token and any text can be said."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=520,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    lines = [*titles(), *titles(100), "Movies that a viewer watched, in order:", "Movie:", *[ANSWERS] * 3]
    bpe.train_from_iterator([f"{line}\n" for line in lines] * 2, trainer)
    end = "<|endoftext|>"
    return PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=end, eos_token=end, pad_token=end)
