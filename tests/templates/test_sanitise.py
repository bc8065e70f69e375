import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec_prompt.templates import clean_text

# Plain text() finds few of the characters that matter here.
ODD = st.sampled_from(
    "\n\r\t\x00\x0b\x1f\x85\u00a0\u00ad\u0301\u200b\u200d\u200e\u202e\u2028\u2029\u3000\ufeff"
)
nasty = st.text(st.characters() | ODD | st.sampled_from("ae Åé…각\u1100\u1161"), max_size=60)


@given(nasty, st.integers(1, 40))
def test_one_visible_line_within_the_limit(text, limit):
    line, cut = clean_text(text, limit)
    assert len(line) <= limit
    assert not {unicodedata.category(c) for c in line} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert len(line.splitlines()) <= 1
    assert line == " ".join(line.split())
    assert unicodedata.is_normalized("NFC", line)
    assert cut == (len(clean_text(text, 10_000)[0]) > limit)


@given(nasty, st.integers(1, 40))
def test_idempotent(text, limit):
    line, _ = clean_text(text, limit)
    assert clean_text(line, limit) == (line, False)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\r\n b\t\tc", "a b c"),
        (" a ", "a"),
        ("a\u2028b", "a b"),
        ("\u202egnp.exe", "gnp.exe"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("a \u200b b", "a b"),
        ("bell\x07 nul\x00", "bell nul"),
        ("e\u0301", "é"),
        ("e\u200b\u0301", "é"),  # composed although a zero-width space stood between
        ("<|im_end|> {{ 7 }}", "<|im_end|> {{ 7 }}"),
        ("\u200b", ""),
        ("\ud800x", "x"),
        ("Alien\ufe0f\U000e0141\U000e0142\u3164\u180b\u17b4", "Alien"),
    ],
)
def test_examples(text, line):
    assert clean_text(text, 100) == (line, False)


def test_cut_texts_end_in_an_ellipsis():
    assert clean_text("abcde", 5) == ("abcde", False)
    assert clean_text("abcdef", 5) == ("abcd…", True)
    assert clean_text("abc def", 5) == ("abc…", True)  # no blank before the ellipsis
