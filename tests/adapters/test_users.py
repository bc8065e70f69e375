import hashlib

import pytest

from llmrec_prompt import Dataset, Interaction
from llmrec_prompt.adapters import count_users, hashes_of, overlap, read_users, user_hash, write_users
from llmrec_prompt.adapters.users import FIRST
from llmrec_prompt.errors import AdapterError


def logs(name: str, *, first: str = "u", likes: int = FIRST) -> Dataset:
    """Three users, each with other likes."""
    items = [{"item_id": f"i{n}", "title": f"thing {n}"} for n in range(3 * (likes + 1))]
    rows = [Interaction(f"{first}{u}", f"i{3 * n + u}", None, n) for u in range(3) for n in range(likes)]
    return Dataset.from_rows(items, rows, name=name)


def test_users_are_hashed_with_their_data_set(tmp_path):
    assert user_hash("a", "1") == hashlib.sha256(b"a\x001").hexdigest()[:16]
    assert user_hash("a", "1") != user_hash("b", "1")
    write_users(tmp_path, [user_hash("toy", user) for user in ("u2", "u1", "u1")])
    lines = (tmp_path / "users.txt").read_text().splitlines()
    assert lines == sorted({user_hash("toy", "u1"), user_hash("toy", "u2")})
    assert overlap(tmp_path, logs("toy"), ["u0", "u1", "u2"]) == {"u1", "u2"}
    assert overlap(tmp_path, logs("other"), ["u0", "u1", "u2"]) == set()


def test_data_under_another_name_are_known_by_what_was_liked_first(tmp_path):
    trained = logs("toy")
    write_users(tmp_path, hashes_of(trained, ["u0", "u1"]))
    assert count_users(read_users(tmp_path)) == 2
    assert overlap(tmp_path, trained, ["u0", "u2"]) == {"u0"}
    assert overlap(tmp_path, logs("renamed"), ["u0", "u2"]) == {"u0"}
    assert overlap(tmp_path, logs("renamed", first="person-"), ["person-1", "person-2"]) == {"person-1"}
    later = logs("grown", likes=FIRST + 1)
    assert overlap(tmp_path, later, later.users) == {"u0", "u1"}
    assert overlap(tmp_path, later.without([("u0", f"i{3 * FIRST}")]), ["u0"]) == {
        "u0"
    }  # the target held out


def test_few_likes_tell_nobody_from_another(tmp_path):
    short = logs("toy", likes=FIRST - 1)
    write_users(tmp_path, hashes_of(short, short.users))
    assert overlap(tmp_path, logs("renamed", likes=FIRST - 1), ["u0"]) == set()
    assert overlap(tmp_path, short, ["u0"]) == {"u0"}


def test_where_the_name_is_known_ids_decide(tmp_path):
    """Two users may have liked the same first items; one of them was trained on."""
    items = [{"item_id": f"i{n}", "title": f"thing {n}"} for n in range(FIRST)]
    rows = [Interaction(user, f"i{n}", None, n) for user in ("a", "b") for n in range(FIRST)]
    twins = Dataset.from_rows(items, rows, name="toy")
    write_users(tmp_path, hashes_of(twins, ["a"]))
    assert overlap(tmp_path, twins, ["b"]) == set()


def test_no_users_file_means_no_users(tmp_path):
    assert read_users(tmp_path) == frozenset()
    assert overlap(tmp_path, logs("toy"), ["u1"]) == set()


def test_whoever_lists_the_ids_can_tell_who_is_among_them(tmp_path):
    """What the model card says: a hash is the same for all who make it, which is what finds leaks."""
    write_users(tmp_path, hashes_of(logs("toy"), ["u1"]))
    guessed = [f"u{n}" for n in range(100)]
    assert [user for user in guessed if user_hash("toy", user) in read_users(tmp_path)] == ["u1"]


def test_a_users_file_that_is_no_text_is_an_error(tmp_path):
    (tmp_path / "users.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AdapterError, match="is no text"):
        read_users(tmp_path)


def test_users_whose_logs_are_all_held_out_are_known_by_name(tmp_path):
    whole = logs("toy")
    write_users(tmp_path, hashes_of(whole, ["u0", "u1"]))
    assert overlap(tmp_path, whole.only(["u2"]), ["u0"]) == {"u0"}
    assert overlap(tmp_path, whole.only([]), ["u0", "u2"]) == {"u0"}
    assert overlap(tmp_path, logs("renamed").only(["u2"]), ["u0"]) == set()


def test_undated_likes_tell_nobody(tmp_path):
    """Sorted by item, strangers begin alike."""
    items = [{"item_id": f"i{n}", "title": f"thing {n}"} for n in range(FIRST)]
    rows = [Interaction("a", f"i{n}", None, None) for n in range(FIRST)]
    write_users(tmp_path, hashes_of(Dataset.from_rows(items, rows, name="toy"), ["a"]))
    assert count_users(read_users(tmp_path)) == len(read_users(tmp_path)) == 1
    assert overlap(tmp_path, Dataset.from_rows(items, rows, name="other"), ["a"]) == set()
