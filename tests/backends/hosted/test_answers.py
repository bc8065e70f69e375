import os

import pytest

from llmrec_prompt.backends.openai.answers import AnswerStore
from llmrec_prompt.cache import cache_dir


def test_answers_outlive_the_process_and_a_later_one_replaces(tmp_path):
    store = AnswerStore(tmp_path / "made" / "answers.sqlite")
    assert store.get("a") is None
    store.put("a", {"text": "é"})
    store.put("a", [1, None])
    store.close()
    assert AnswerStore(tmp_path / "made" / "answers.sqlite").get("a") == [1, None]


def test_a_call_that_was_sent_and_never_settled_is_known_to_the_next_process(tmp_path):
    store = AnswerStore(tmp_path / "answers.sqlite")
    before = {key: store.mark_sent(key) for key in ("answered", "failed", "lost")}
    assert not any(again for _, again in before.values())
    assert len({name for name, _ in before.values()}) == 3
    store.put("answered", {})
    store.settle("failed")
    store.close()
    later = AnswerStore(tmp_path / "answers.sqlite")
    for key, (name, _) in before.items():
        assert later.mark_sent(key)[1] == (key == "lost")
        assert (later.mark_sent(key)[0] == name) == (key == "lost")


def test_a_disk_that_takes_nothing_stops_nobody(tmp_path):
    (tmp_path / "file").write_text("")
    store = AnswerStore(tmp_path / "file" / "answers.sqlite")
    assert store.mark_sent("a")[1] is False
    store.put("a", 1)
    assert store.get("a") == 1
    store.close()
    assert store.mark_sent("b")[1] is False
    assert store.get("a") is None


@pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX")
def test_answers_are_for_their_owner_alone(hosted):
    before = os.umask(0o022)
    try:
        hosted()
    finally:
        os.umask(before)
    folder = cache_dir() / "hosted"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.glob("answers.sqlite*")} == {0o600}
