import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec_prompt.backends.openai import replies
from llmrec_prompt.backends.openai.ledger import Tokens

LEGACY = {"tokens": [" a"], "token_logprobs": [-1.0], "top_logprobs": [{" a": -1.0, "bytes:\\xc3": -2.5}]}
CHAT = {
    "content": [
        {
            "token": " a",
            "logprob": -1.0,
            "top_logprobs": [
                {"token": " a", "bytes": [32, 97], "logprob": -1.0},
                {"token": "\ufffd", "bytes": [195], "logprob": -2.5},
            ],
        }
    ]
}


def reply(**choice):
    return {"choices": [choice]}


@pytest.mark.parametrize("logprobs", [LEGACY, CHAT], ids=["legacy", "chat"])
def test_both_shapes_say_the_same(logprobs):
    assert replies.first_top(reply(logprobs=logprobs)) == [(b" a", -1.0), (b"\xc3", -2.5)]


def test_tokens_are_known_by_bytes_where_their_texts_are_alike():
    top = replies.first_top(reply(logprobs=CHAT))
    assert len({token for token, _ in top}) == 2


def test_a_value_that_is_no_number_is_missing_not_zero():
    broken = {"top_logprobs": [{"a": None, "b": float("nan"), "c": "0", "d": True, "e": -1.5}]}
    assert replies.first_top(reply(logprobs=broken)) == [(b"e", -1.5)]
    lies = {"top_logprobs": [{"a": 0.01, "b": 1e308, "c": 10**400, "d": -(10**400), "e": 1e-6}]}
    assert replies.first_top(reply(logprobs=lies)) == [(b"e", 1e-6)]
    assert replies.echoed(reply(logprobs={"tokens": ["a"], "token_logprobs": [5.0]})) == [("a", None)]
    assert replies.prompt_echo(reply(prompt_logprobs=[{"1": {"logprob": 5.0}}])) == [("1", None)]
    echo = {"tokens": ["a", "b"], "token_logprobs": [None, None]}
    assert replies.echoed(reply(logprobs=echo)) == [("a", None), ("b", None)]


def test_an_echo_ends_where_the_prompt_does():
    echo = {"tokens": ["a", "b", "new"], "token_logprobs": [None, -1.0, -2.0]}
    whole = {**reply(logprobs=echo), "usage": {"prompt_tokens": 2, "completion_tokens": 1}}
    assert replies.echoed(whole) == [("a", None), ("b", -1.0)]


def test_prompt_logprobs_of_one_token_a_position():
    rows = [None, {"17": {"logprob": -1.5, "rank": 3}}, {"4": {"logprob": -2.0}, "5": {"logprob": -3.0}}]
    assert replies.prompt_echo(reply(prompt_logprobs=rows)) == [("", None), ("17", -1.5), ("", None)]


def test_what_it_cost():
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
    assert replies.tokens_of({"usage": usage}) == Tokens(9, 2, 4)
    assert replies.tokens_of({"usage": {"prompt_tokens": 3}}) == Tokens(3, 0, 0)
    assert replies.tokens_of({"usage": None}) is None
    assert replies.tokens_of({}) is None


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("<think>\nMaybe {1}?\n</think>\n\nYes", "Yes"),
        ("Yes <think>no</think>", "Yes <think>no</think>"),
        ("<think>cut off", "<think>cut off"),
        (None, ""),
    ],
)
def test_thoughts_in_front_are_taken_off(content, text):
    assert replies.answer_text(reply(message={"content": content})) == text


def test_refusals_are_seen_in_both_places():
    assert replies.refusal(reply(message={"content": None, "refusal": "No."})) == "No."
    assert replies.refusal(reply(message={"content": ""}, finish_reason="content_filter")) == "filtered"
    assert replies.refusal(reply(message={"content": "Yes"}, finish_reason="stop")) == ""


def test_vectors_come_in_the_order_of_their_inputs():
    rows = [{"index": 1, "embedding": [1.0]}, {"index": 0, "embedding": [0.5]}]
    assert replies.vectors({"data": rows}, 2) == [[0.5], [1.0]]
    assert replies.vectors({"data": rows[:1]}, 2) == []
    assert replies.vectors({"data": [{"index": 0, "embedding": [None]}]}, 1) == []
    assert replies.vectors({"data": [{"index": 0, "embedding": [10**400]}]}, 1) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "logprobs",
                    "content",
                    "top_logprobs",
                    "tokens",
                    "token_logprobs",
                    "message",
                    "usage",
                ]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_no_reply_breaks_the_reading(value):
    for read in (
        replies.first_top,
        replies.echoed,
        replies.prompt_echo,
        replies.answer_text,
        replies.refusal,
        replies.thinks,
        replies.tokens_of,
    ):
        read(value)
        read({"choices": [value]})
    assert replies.vectors(value, 1) == []
