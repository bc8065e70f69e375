"""Whom an adapter was trained on: hashes in place of ids, for leak checks.

They are pseudonyms and hide nobody from a guess. Nothing secret goes into them, or no stranger could check
for leaks; so whoever can list the ids of a data set, or knows what a user liked first, can tell who is among
them.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from llmrec_prompt.adapters.card import USERS
from llmrec_prompt.adapters.embedded import is_twin, texts_in
from llmrec_prompt.cache import content_key, write_atomically
from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import AdapterError
from llmrec_prompt.types import Interaction

FIRST = 8
"""Liked items that tell a user, wherever the data came from: fewer are now and then somebody else's, too."""
LIKES = "likes-"


def user_hash(data_name: str, user_id: str) -> str:
    """What stands for a user in `users.txt`: tells whoever knows the id whether that user was trained on.

    >>> user_hash("films", "7") == user_hash("films", "7"), len(user_hash("films", "7"))
    (True, 16)
    """
    return content_key(data_name, user_id)[:16]


def likes_hash(liked: Sequence[Interaction]) -> str | None:
    """The same by the first items that a user liked, for data under another name; None if they tell nobody.

    Later likes do not change it, nor do other ids of users. Too few tell nobody, nor do undated ones: a file
    that is sorted by item gives strangers the same first items.
    """
    first = liked[:FIRST]
    if len(first) < FIRST or any(like.timestamp is None for like in first):
        return None
    return LIKES + content_key(*(like.item_id for like in first))[:16]


def hashes_of(dataset: Dataset, users: Iterable[str]) -> set[str]:
    """What stands for users of a data set: a hash of each id, and one of the likes where there are enough."""
    users = list(users)
    likes = {likes_hash(dataset.history(user)) for user in users}
    return {user_hash(dataset.name, user) for user in users} | {found for found in likes if found}


def write_users(folder: Path | str, hashes: Iterable[str]) -> Path:
    """Write the hashes of the users trained on, sorted, one a line."""
    lines = "".join(f"{value}\n" for value in sorted(set(hashes)))
    return write_atomically(Path(folder) / USERS, lines)


def read_users(folder: Path | str) -> frozenset[str]:
    """The hashes of the users an adapter (a folder or a GGUF twin) was trained on; none where it names none.

    Raises:
        AdapterError: the file is no text, or a twin no GGUF.
    """
    if is_twin(folder) and Path(folder).is_file():
        return frozenset(texts_in(Path(folder)).get(USERS, "").split())
    path = Path(folder) / USERS
    try:
        return frozenset(path.read_text(encoding="utf-8").split())
    except FileNotFoundError:
        return frozenset()
    except UnicodeDecodeError as error:
        raise AdapterError(f"{path} is no text. Take the file that came with the adapter.") from error


def count_users(hashes: Iterable[str]) -> int:
    """How many users the hashes stand for."""
    return sum(not value.startswith(LIKES) for value in hashes)


def overlap(folder: Path | str, dataset: Dataset, users: Iterable[str]) -> set[str]:
    """Which of these users of a data set an adapter was trained on: testing on them is a leak.

    Users are known by data set and id. Where none of a data set is, it may be one under another name (a
    folder that was renamed, another form of the same logs): there they are known by what they liked first.
    """
    trained, users = read_users(folder), set(users)
    # A question may be about users whose logs were all held out of the data set.
    named = {user for user in users.union(dataset.users) if user_hash(dataset.name, user) in trained}
    if named:
        return named & users
    there = users.intersection(dataset.users)
    return {user for user in there if likes_hash(dataset.history(user)) in trained}
