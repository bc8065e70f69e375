"""An adapter that learnt nothing: another one's numbers in another order."""

import numpy as np

from llmrec_prompt.adapt.compose.matrices import read_scaled, write_pairs
from llmrec_prompt.adapters import Card, write_readme, write_users
from llmrec_prompt.cache import file_hash


def shuffled_numbers(like, folder):
    """Write it; nobody was trained on but an unknown."""
    folder.mkdir()
    dice = np.random.default_rng(0)
    pairs = {
        key: (dice.permutation(a.ravel()).reshape(a.shape), dice.permutation(b.ravel()).reshape(b.shape))
        for key, (a, b) in read_scaled(like).items()
    }
    write_pairs(pairs, like, folder)
    digest = file_hash(folder / "adapter_model.safetensors")
    made = Card.load(like).model_copy(update={"name": folder.name, "weights_hash": digest})
    made.save(folder)
    write_users(folder, ["0123456789abcdef"])
    write_readme(made, folder)
    return folder
