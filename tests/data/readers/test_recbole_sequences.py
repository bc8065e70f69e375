import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec_prompt.data import Dataset
from llmrec_prompt.data.readers.recbole_sequences import merge
from llmrec_prompt.errors import DataError

from ..strategies import write_lines

ITEMS = ["item_id:token\ttitle:token_seq", *(f"{n}\tTitle {n}" for n in range(1, 8))]
HEAD = "user_id:token\titem_id_list:token_seq\titem_id:token"


@given(
    st.data(), st.lists(st.integers(0, 99).map(str), min_size=2, max_size=20, unique=True), st.integers(1, 9)
)
def test_windows_of_a_sequence_give_it_back_in_any_order(data, sequence, longest):
    windows = [sequence[max(0, end - longest - 1) : end] for end in range(2, len(sequence) + 1)]
    assert merge(windows) == sequence
    assert merge(reversed(windows)) == sequence
    whole = [sequence[:end] for end in range(2, len(sequence) + 1)]
    assert merge(data.draw(st.permutations(whole))) == sequence


def test_rows_that_share_nothing_come_one_after_the_other():
    assert merge([["a", "b"], ["c", "d"], ["b", "x"]]) == ["a", "b", "c", "d", "b", "x"]


def test_benchmark_files(tmp_path):
    """The windows of RecBole's own test data: users 1 and 2, cut into train, valid and test."""
    head = "user_id:token\titem_id:token\ttimestamp:float\titem_id_list:token_seq\ttimestamp_list:float_seq"
    write_lines(tmp_path / "b.item", ITEMS)
    train = ["1\t2\t2\t1\t1", "1\t3\t3\t1 2\t1 2", "2\t5\t5\t4\t4"]
    write_lines(tmp_path / "b.train.inter", [head, *train])
    write_lines(tmp_path / "b.valid.inter", [head, "1\t4\t4\t1 2 3\t1 2 3", "2\t6\t6\t4 5\t4 5"])
    write_lines(tmp_path / "b.test.inter", [head, "1\t5\t5\t1 2 3 4\t1 2 3 4", "2\t7\t7\t5 6\t5 6"])
    data = Dataset.load(tmp_path)
    for user, wanted in {"1": [1, 2, 3, 4, 5], "2": [4, 5, 6, 7]}.items():
        assert [row.item_id for row in data.history(user)] == [str(n) for n in wanted]
        assert [row.timestamp for row in data.history(user)] == [float(n) for n in wanted]
    assert data.report.steps[1].why == {}


def test_sessions_without_times_longest_window_first(tmp_path):
    write_lines(tmp_path / "s.item", ITEMS)
    head = HEAD.replace("user_id", "session_id")
    write_lines(tmp_path / "s.train.inter", [head, "9\t2 3\t4", "9\t1 2\t3", "9\t1\t2", "8\t\t7"])
    data = Dataset.load(tmp_path)
    assert [row.item_id for row in data.history("9")] == ["1", "2", "3", "4"]
    assert [row.item_id for row in data.history("8")] == ["7"]
    assert data.history("9")[0].timestamp is None


def test_the_whole_log_wins_over_its_parts(tmp_path):
    write_lines(tmp_path / "s.item", ITEMS)
    write_lines(tmp_path / "s.inter", ["user_id:token\titem_id:token", "u\t1"])
    write_lines(tmp_path / "s.train.inter", [HEAD, "v\t2\t3"])
    assert Dataset.load(tmp_path).users == ("u",)


def test_two_forms_at_once(tmp_path):
    write_lines(tmp_path / "s.item", ITEMS)
    write_lines(tmp_path / "s.train.inter", [HEAD, "v\t2\t3"])
    write_lines(tmp_path / "s.test.inter", ["user_id:token\titem_id:token", "u\t1"])
    with pytest.raises(DataError) as caught:
        Dataset.load(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: some .inter files have item_id_list and some have not; keep one form."
    )
