import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from llmrec_prompt.cache import (
    NumberStore,
    cache_dir,
    content_key,
    whole_file,
    whole_folder,
    write_atomically,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "numbers.sqlite"


@pytest.mark.parametrize(("dtype", "exact"), [("<f8", 0.1), ("<f4", np.float32(0.1)), ("<i4", 7)])
def test_round_trip(path, dtype, exact):
    store = NumberStore(path, dtype=dtype)
    store.put({"a": np.array([exact, 2, -3]), "b": np.array([1])})
    found = store.get(["a", "b", "c"])
    assert set(found) == {"a", "b"}
    assert found["a"].dtype == np.dtype(dtype)
    assert found["a"].tolist() == [exact, 2, -3]
    assert found["b"].tolist() == [1]


def test_values_outlive_the_store(path):
    store = NumberStore(path)
    store.put({"a": np.array([1.5])})
    store.close()
    assert NumberStore(path).get(["a"])["a"].tolist() == [1.5]


def test_a_key_keeps_its_first_value(path):
    store = NumberStore(path)
    store.put({"a": np.array([1.0])})
    store.put({"a": np.array([2.0]), "b": np.array([3.0])})
    assert {key: value.tolist() for key, value in store.get("ab").items()} == {"a": [1.0], "b": [3.0]}


def test_two_stores_on_one_file_see_each_others_values(path):
    one, two = NumberStore(path), NumberStore(path)
    one.put({"a": np.array([1.0])})
    two.put({"b": np.array([2.0])})
    assert set(one.get("ab")) == set(two.get("ab")) == {"a", "b"}


def test_another_process_can_write_meanwhile(path):
    store = NumberStore(path)
    code = (
        "import sys, numpy, pathlib; from llmrec_prompt.cache import NumberStore; "
        "NumberStore(pathlib.Path(sys.argv[1])).put({'b': numpy.array([2.0])})"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True, timeout=60)
    assert store.get(["b"])["b"].tolist() == [2.0]


def test_thousands_of_keys_at_once():
    store = NumberStore(None)
    store.put({str(n): np.array([n]) for n in range(2500)})
    found = store.get([str(n) for n in range(3000)])
    assert len(found) == 2500
    assert all(found[str(n)].tolist() == [n] for n in range(2500))
    assert store.get([]) == {}


def test_a_place_that_cannot_be_written_is_memory(tmp_path):
    (tmp_path / "file").write_text("no folder")
    store = NumberStore(tmp_path / "file" / "numbers.sqlite")
    store.put({"a": np.array([1.0])})
    assert store.get(["a"])["a"].tolist() == [1.0]
    assert (tmp_path / "file").read_text() == "no folder"


def test_a_file_that_is_no_store_is_left_alone(tmp_path):
    path = tmp_path / "numbers.sqlite"
    path.write_bytes(b"something else entirely " * 100)
    store = NumberStore(path)
    store.put({"a": np.array([1.0])})
    assert store.get(["a"])["a"].tolist() == [1.0]
    assert path.read_bytes() == b"something else entirely " * 100


def test_a_store_that_breaks_later_knows_nothing_and_does_not_fail(path):
    store = NumberStore(path)
    store.put({"a": np.array([1.0])})
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE numbers")
    db.close()
    store.put({"b": np.array([1.0])})
    assert store.get(["a", "b"]) == {}


def test_a_damaged_file_knows_nothing_and_does_not_fail(path):
    store = NumberStore(path)
    store.put({str(n): np.full(50, n) for n in range(500)})
    store.close()
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    damaged = NumberStore(path)
    damaged.put({"x": np.array([1.0])})
    assert set(damaged.get([str(n) for n in range(500)])) <= {str(n) for n in range(500)}


def test_keys_tell_their_parts_apart():
    keys = {
        content_key("a", "b"),
        content_key("ab"),
        content_key("ab", ""),
        content_key("b", "a"),
        content_key(),
    }
    assert len(keys) == 5
    assert content_key("é") == content_key("é")
    assert len(content_key("a")) == 40


def test_the_cache_is_where_the_user_wants_it(monkeypatch, tmp_path):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("LLMREC_CACHE")
    assert isinstance(cache_dir(), Path)
    assert "llmrec-prompt" in str(cache_dir())


def test_threads_share_a_store(path):
    """One connection without a lock fails in one of several runs."""
    store, failures = NumberStore(path), []

    def work(name):
        try:
            for n in range(300):
                store.put({f"{name}-{n}": np.array([float(n)])})
                assert store.get([f"{name}-{n}"])[f"{name}-{n}"].tolist() == [n]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    assert failures == []


def stopped(place):
    with place as partial:
        (partial / "first" if partial.is_dir() else partial).write_text("half")
        raise KeyboardInterrupt


def test_a_file_that_could_not_be_finished_leaves_the_old_one_and_nothing_else(path):
    write_atomically(path, "old")
    with pytest.raises(KeyboardInterrupt):
        stopped(whole_file(path))
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "no text: \ud800")
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_who_writes_the_same_file_at_once_is_not_in_the_others_way(path):
    with whole_file(path) as one, whole_file(path) as two:
        one.write_text("one")
        two.write_text("two")
    assert path.read_text() == "one"  # the last to end
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_is_there_wholly_or_not_at_all(path):
    with pytest.raises(KeyboardInterrupt):
        stopped(whole_folder(path))
    assert list(path.parent.iterdir()) == []
    with whole_folder(path) as partial:
        (partial / "first").write_text("1")
        assert not path.exists()
    assert [found.name for found in path.parent.rglob("*")] == [path.name, "first"]


def test_a_folder_that_is_there_stays(path):
    path.mkdir(parents=True)
    (path / "first").write_text("1")
    with pytest.raises(OSError, match="not empty"), whole_folder(path) as partial:
        (partial / "late").write_text("2")
    assert [found.name for found in path.parent.rglob("*")] == [path.name, "first"]


def test_a_folder_is_replaced_by_a_whole_one_alone(path):
    path.mkdir(parents=True)
    (path / "first").write_text("1")
    with pytest.raises(KeyboardInterrupt):
        stopped(whole_folder(path, replace=True))
    assert (path / "first").read_text() == "1"
    with whole_folder(path, replace=True) as partial:
        (partial / "late").write_text("2")
    assert [found.name for found in path.parent.rglob("*")] == [path.name, "late"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o007, 0o660)])
def test_files_of_a_folder_follow_the_umask_whatever_wrote_them(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with whole_folder(tmp_path / "a") as partial:
            (partial / "weights").touch(mode=0o600)
            (partial / "config").touch()
    finally:
        os.umask(before)
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "a").iterdir()} == {mode}


def test_a_file_that_was_there_keeps_its_mode_and_a_link_its_place(tmp_path):
    own, link = tmp_path / "own.txt", tmp_path / "link.txt"
    write_atomically(own, "one")
    own.chmod(0o600)
    link.symlink_to(own)
    write_atomically(link, "two")
    assert link.is_symlink()
    assert (own.read_text(), own.stat().st_mode & 0o777) == ("two", 0o600)


def test_a_private_file_is_private_while_it_is_written(tmp_path):
    own = tmp_path / "own.txt"
    own.touch(mode=0o600)
    with whole_file(own) as partial:
        partial.write_text("two")
        assert partial.stat().st_mode & 0o777 == 0o600
