"""Splits for evaluation. A split holds a training data set and the cases to be predicted."""

import hashlib
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from llmrec_prompt.data.dataset import Dataset
from llmrec_prompt.errors import ConfigError, DataError

BEFORE = 0.8
"""The share of dated likes that lies before the cut of `global_time`: the usual 80/20."""
COLD_SHARE = 0.2
"""The share of liked items that `cold_item` hides, as the out-of-matrix folds of Wang and Blei (2011) do."""
COLD_LENGTHS = (0, 1, 2, 3, 5)
"""How many items of a history a cold-user curve shows."""


@dataclass(frozen=True, slots=True)
class Case:
    """One user's task: from `history` (item ids, oldest first, without the target) predict `target`."""

    user_id: str
    history: tuple[str, ...]
    target: str
    also: tuple[str, ...] = ()
    """Further items that would have been right."""
    shown: tuple[str, ...] = ()
    """What the user was shown and passed over, where that is known."""

    @property
    def relevant(self) -> frozenset[str]:
        """All items that would be right."""
        return frozenset((self.target, *self.also))


@dataclass(frozen=True, slots=True)
class Split:
    """`train` lacks every case's target; `eligible` says how many users could have been cases."""

    train: Dataset
    cases: tuple[Case, ...]
    eligible: int
    known: Dataset | None = None
    """The data set that was split: what a user ever met there is no negative. `train` if None."""
    drawn_from: Dataset | None = None
    """The logs by which negatives are drawn; `train` if None."""
    notes: Mapping[str, float] = field(default_factory=dict)
    """What a report must say: where time was cut, how many rows could not be placed, and the like."""


def leave_last_out(
    dataset: Dataset,
    *,
    users: int | None,
    seed: int,
    min_history: int = 1,
    back: int = 0,
    among: Container[str] | None = None,
) -> Split:
    """Hold out the last liked item of sampled users, or one before it.

    Users are put in one seeded order, each by a hash of its own id, and the first `users` are taken:
    asking for more users adds some and keeps the earlier ones. None takes all. Users need
    `min_history` liked items besides the target; when fewer are eligible than asked, all are taken.
    With `among`, only users in it are taken. With `back`, the target is so many likes before the last, and
    those after it are held out too: not in this user's history, nor among the negatives.

    Raises:
        ConfigError: users < 1, min_history < 0 or back < 0.
        DataError: no user is eligible.
    """
    check_numbers(users, min_history)
    if back < 0:
        raise ConfigError(f"back is {back}; nothing comes after the last like, so give back >= 0.")
    ids = {user: tuple(item.item_id for item in dataset.history_items(user)) for user in dataset.users}
    place = -1 - back
    cases = [
        Case(user, liked[:place], liked[place])
        for user, liked in ids.items()
        if len(liked) > min_history + back
    ]
    if not cases:
        fewer = "use a protocol that needs fewer (leave-last-out), or " if min_history > 1 else ""
        raise DataError(
            f"No user of {dataset.name} has {min_history + back + 1} liked items (of {len(dataset.users)} "
            f"users); {fewer}load more interactions."
        )
    chosen = choose(cases, users, seed, among)
    train = dataset.without((case.user_id, item) for case in chosen for item in ids[case.user_id][place:])
    return Split(train, chosen, len(cases), known=dataset)


def global_time(
    dataset: Dataset,
    *,
    users: int | None,
    seed: int,
    before: float = BEFORE,
    among: Container[str] | None = None,
) -> Split:
    """One cut in time for all: train on what was before it, ask for each user's first like after it.

    No scorer knows anything of the future, which leave-last-out does not promise (Meng et al. 2020,
    doi:10.1145/3383313.3418479). The cut is the moment before which the share `before` of the dated likes
    happened. Undated interactions are in no log and no history. Users need a like on either side.

    Raises:
        ConfigError: users < 1, or `before` outside (0, 1).
        DataError: there are no times, or nobody has a like on either side.
    """
    check_numbers(users)
    if not 0 < before < 1:
        raise ConfigError(f"before is {before}; give a share between 0 and 1.")
    times = dataset.times()
    dated = np.sort(times[~np.isnan(times)])
    if not len(dated):
        raise DataError(f"{dataset.name} has no times, so it cannot be cut in time. Use leave-last-out.")
    cut = float(dated[int(len(dated) * before)])
    cases = [case for user in dataset.users if (case := _at(dataset, user, cut))]
    if not cases:
        raise DataError(
            f"No user of {dataset.name} likes something both before and after the cut at {cut:.0f} "
            "(epoch seconds). Use leave-last-out."
        )
    notes = {"cut": cut, "undated_left_out": len(times) - len(dated)}
    return Split(dataset.before(cut), choose(cases, users, seed, among), len(cases), dataset, notes=notes)


def _at(dataset: Dataset, user: str, cut: float) -> Case | None:
    """The case of a user at a moment, if there is one."""
    dated = [(row.item_id, row.timestamp) for row in dataset.history(user) if row.timestamp is not None]
    history = tuple(item_id for item_id, time in dated if time < cut)
    later = [item_id for item_id, time in dated if time >= cut]
    return Case(user, history, later[0]) if history and later else None


def cold_user(split: Split) -> Split:
    """The same cases, of users who are in no log: all the system knows of them is what a question shows.

    Hold out with `min_history=max(COLD_LENGTHS)`, so that every history can be cut to every length:
    a curve over lengths then compares the same users with the same candidates.

    Raises:
        DataError: nobody is left to train on.
    """
    known, tested = split.known or split.train, {case.user_id for case in split.cases}
    others = [user for user in known.users if user not in tested]
    if not others:
        raise DataError(f"All {len(tested)} users of {known.name} would be cold and nobody left: ask fewer.")
    return replace(split, train=known.only(others))


def cold_domain(split: Split) -> Split:
    """The same cases, where the system has the catalogue and no log at all.

    Negatives are drawn as if the logs were there, so that the questions are those of a warm domain.
    """
    return replace(split, train=split.train.only([]), drawn_from=split.drawn_from or split.train)


def cold_item(
    dataset: Dataset,
    *,
    users: int | None,
    seed: int,
    share: float = COLD_SHARE,
    among: Container[str] | None = None,
) -> Split:
    """Targets that nobody is known to have met: a seeded share of the liked items is in no log.

    A user's case is their last like of a cold item; the history is what they liked before it, without
    cold items. The logs are the same however many users are asked.

    Raises:
        ConfigError: users < 1, or `share` outside (0, 1).
        DataError: no user liked a cold item after a warm one.
    """
    check_numbers(users)
    if not 0 < share < 1:
        raise ConfigError(f"share is {share}; give a share between 0 and 1.")
    liked = [dataset.items[row].item_id for row in np.flatnonzero(dataset.popularity()).tolist()]
    cold = frozenset(seeded_order(liked, seed)[: max(1, round(len(liked) * share))])
    cases = [case for user in dataset.users if (case := _last_cold(dataset, user, cold))]
    if not cases:
        raise DataError(
            f"No user of {dataset.name} likes one of the {len(cold)} cold items after a warm one."
        )
    notes = {"cold_items": len(cold)}
    train = dataset.without_items(cold)
    return Split(train, choose(cases, users, seed, among), len(cases), dataset, notes=notes)


def _last_cold(dataset: Dataset, user: str, cold: frozenset[str]) -> Case | None:
    liked = [item.item_id for item in dataset.history_items(user)]
    last = max((place for place, item_id in enumerate(liked) if item_id in cold), default=0)
    history = tuple(item_id for item_id in liked[:last] if item_id not in cold)
    return Case(user, history, liked[last]) if history else None


def check_numbers(users: int | None, min_history: int = 0) -> None:
    """Refuse numbers that cannot be meant.

    Raises:
        ConfigError: users < 1 or min_history < 0.
    """
    if (users is not None and users < 1) or min_history < 0:
        raise ConfigError(
            f"users is {users} and min_history is {min_history}; give users >= 1, min_history >= 0."
        )


def choose(
    cases: Iterable[Case], users: int | None, seed: int, among: Container[str] | None = None
) -> tuple[Case, ...]:
    """The first `users` cases in the seeded order of their users, of those in `among`."""
    by_user = {case.user_id: case for case in cases if among is None or case.user_id in among}
    return tuple(by_user[user] for user in seeded_order(list(by_user), seed)[:users])


def seeded_order(users: list[str], seed: int) -> list[str]:
    """The ids ordered by a hash of seed and id; an id's place depends on no other."""
    return sorted(users, key=lambda user: hashlib.sha256(f"{seed}\x1f{user}".encode()).digest())
