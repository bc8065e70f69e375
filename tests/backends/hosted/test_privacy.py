import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec_prompt.backends.openai.privacy import Redactor, luhn


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("mail bob.b+x@mail.example.org now", "mail [e-mail] now"),
        ("call +49 (30) 123-45678", "call [phone]"),
        ("call 030 1234567", "call [phone]"),
        ("call 555-867-5309.", "call [phone]."),
        ("pay 4111 1111 1111 1111", "pay [card]"),
        ("pay 5500-0000-0000-0004", "pay [card]"),
        ("card 4111 1111 1111 1111 12/27", "card [card] 12/27"),
        ("card 4111111111111111 123", "card [card] 123"),
        ("Gift 5 4111 1111 1111 1111", "Gift 5 [card]"),
        ("4111.1111.1111.1111, 4111\u00a01111\u00a01111\u00a01111", "[card], [card]"),
        ("4111-1111-1111-1111 4242 4242 4242 4242", "[card] [card]"),
        ("4111‑1111‑1111‑1111", "[card]"),
        ("a@b.co\nc@d.co", "[e-mail]\n[e-mail]"),
    ],
)
def test_what_is_a_persons_own_is_taken_out(text, sent):
    assert Redactor()(text) == sent


@pytest.mark.parametrize(
    "text",
    [
        "1917 1984 2001 2010 2012",
        "Apollo 13, 2001: A Space Odyssey, 007",
        "10,000 BC",
        "The 39 Steps\n12 Angry Men\n21 Grams\n8½",
        "Order 4111 1111 1111 1112",
        "41111111111111110000",
        "1 2 3 4 5 6 7 8 9 10 11 12",
        "ISBN 3-16-148410-X, 12.5 x 8.25 x 1.75",
        "user @ home",
        "12. 101 Dalmatians (1996)",
        "iPhone 15 128GB A2846",
    ],
)
def test_what_only_looks_like_it_stays(text):
    assert Redactor()(text) == text


def test_own_patterns_come_after():
    assert Redactor([r"C-\d+"])("C-12 and a@b.co") == "[redacted] and [e-mail]"
    with pytest.raises(ValueError, match="is no regular expression"):
        Redactor(["("])


@given(st.lists(st.integers(0, 9), min_size=11, max_size=17))
def test_one_last_digit_of_ten_makes_a_card(digits):
    text = "".join(map(str, digits))
    assert sum(luhn(f"{text}{last}") for last in range(10)) == 1


@given(st.lists(st.integers(0, 9999), max_size=6), st.lists(st.integers(0, 9999), max_size=6))
def test_a_card_goes_whatever_numbers_stand_around_it(before, after):
    numbers = [*map(str, before), "4111 1111 1111 1111", *map(str, after)]
    assert "1111 1111" not in Redactor()(" ".join(numbers))


@given(st.text(alphabet=st.characters(exclude_characters="@0123456789")))
def test_a_text_without_digits_and_at_is_sent_as_it_is(text):
    assert Redactor()(text) == text


@given(st.text())
def test_taking_out_twice_takes_out_no_more(text):
    once = Redactor()(text)
    assert Redactor()(once) == once
