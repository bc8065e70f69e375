"""Splits for evaluation. A split holds a training data set and the cases to be predicted."""

import hashlib
from dataclasses import dataclass

from llmrec_prompt.data.dataset import Dataset
from llmrec_prompt.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True)
class Case:
    """One user's task: from `history` (item ids, oldest first, without the target) predict `target`."""

    user_id: str
    history: tuple[str, ...]
    target: str


@dataclass(frozen=True, slots=True)
class Split:
    """`train` lacks every case's target; `eligible` says how many users could have been cases."""

    train: Dataset
    cases: tuple[Case, ...]
    eligible: int


def leave_last_out(dataset: Dataset, *, users: int | None, seed: int, min_history: int = 1) -> Split:
    """Hold out the last liked item of sampled users.

    Users are put in one seeded order, each by a hash of its own id, and the first `users` are taken:
    asking for more users adds some and keeps the earlier ones. None takes all. Users need
    `min_history` liked items besides the target; when fewer are eligible than asked, all are taken.

    Raises:
        ConfigError: users < 1 or min_history < 0.
        DataError: no user is eligible.
    """
    if (users is not None and users < 1) or min_history < 0:
        raise ConfigError(
            f"users is {users} and min_history is {min_history}; give users >= 1, min_history >= 0."
        )
    ids = {user: tuple(item.item_id for item in dataset.history_items(user)) for user in dataset.users}
    eligible = [user for user, liked in ids.items() if len(liked) > min_history]
    if not eligible:
        raise DataError(
            f"No user of {dataset.name} has {min_history + 1} liked items (of {len(dataset.users)} users); "
            "lower min_history or load interactions."
        )
    chosen = seeded_order(eligible, seed)[:users]
    cases = tuple(Case(user, ids[user][:-1], ids[user][-1]) for user in chosen)
    return Split(dataset.without((case.user_id, case.target) for case in cases), cases, len(eligible))


def seeded_order(users: list[str], seed: int) -> list[str]:
    """The users ordered by a hash of seed and id; a user's place depends on nobody else."""
    return sorted(users, key=lambda user: hashlib.sha256(f"{seed}\x1f{user}".encode()).digest())
