import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec_prompt.backends.openai.ledger import Ledger, Meter, Price, Tokens, read_price
from llmrec_prompt.errors import BudgetExceeded, ConfigError

from .ledgers import summarise


def test_cached_tokens_have_their_own_price():
    tokens = Tokens(sent=2_000_000, answered=1_000_000, cached=1_000_000)
    assert Price(input=4, output=10, cached=1).money(tokens) == 4 + 1 + 10
    assert Price(input=4, output=10).money(tokens) == 4 + 4 + 10


def test_prices_are_read_and_a_missing_model_is_named(tmp_path):
    path = tmp_path / "prices.yaml"
    path.write_text("small: {input: 0.5, output: 2}\nbad: {input: -1}\n")
    assert read_price(path, "small") == Price(input=0.5, output=2)
    with pytest.raises(ConfigError, match=r"have no 'large'. Add a line `large: \{input: …\}`"):
        read_price(path, "large")
    with pytest.raises(ConfigError, match=r"'bad'.*greater than or equal"):
        read_price(path, "bad")
    with pytest.raises(ConfigError, match="Cannot read prices"):
        read_price(tmp_path / "none.yaml", "small")


CALLS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.floats(0, 1)), max_size=30)


@given(CALLS, st.integers(0, 400))
def test_a_budget_is_never_passed(calls, budget):
    """Whatever calls cost, as long as none costs more than was set aside."""
    meter = Meter(budget_tokens=budget)
    for sent, answered, share in calls:
        most = Tokens(sent, answered)
        try:
            meter.hold(most)
        except BudgetExceeded:
            assert meter.spent.sent + meter.spent.answered + sent + answered > budget
            continue
        meter.settle(most, Tokens(int(sent * share), int(answered * share)))
        assert meter.spent.sent + meter.spent.answered <= budget
    assert not meter.waiting


def test_money_stops_too_and_says_what_is_left():
    meter = Meter(budget_money=0.001, price=Price(input=1.0))
    meter.hold(Tokens(sent=900))
    with pytest.raises(BudgetExceeded, match=r"0\.0018 of 0\.001 in money"):
        meter.hold(Tokens(sent=900))
    meter.settle(Tokens(sent=900), Tokens(sent=10))
    meter.hold(Tokens(sent=900))


def test_a_ledger_adds_up(tmp_path):
    path = tmp_path / "made" / "ledger.jsonl"
    ledger = Ledger(path)
    ledger.write(status="ok", attempts=3, errors={"429": 2}, tokens_sent=5, tokens_answered=1, money=0.5)
    ledger.write(status="stored")
    ledger.write(status="500", attempts=2, errors={"500": 2}, money=None)
    found = summarise(path)
    assert (found["calls"], found["stored"], found["failed"], found["attempts"]) == (2, 1, 1, 5)
    assert found["errors"] == {"429": 2, "500": 2}
    assert (found["tokens_sent"], found["tokens_answered"], found["money"]) == (5, 1, 0.5)
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 3


def test_a_ledger_that_cannot_be_written_is_told_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="Cannot write the ledger"):
        Ledger(tmp_path / "file" / "ledger.jsonl")
