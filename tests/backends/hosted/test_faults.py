"""Servers fail. Nobody is lost or scored wrongly, nothing is paid for twice, and the ledger adds up."""

import json
import math
import random
import threading
import time

import pytest

from llmrec_prompt.backends import Hosted, ScoreRequest
from llmrec_prompt.backends.openai.client import Call, Client
from llmrec_prompt.errors import BackendError, BudgetExceeded, ConfigError
from llmrec_prompt.rank import LabelRanker, ListedRanker, rank

from ...rank.toys import items, prompter
from . import server as served
from .ledgers import summarise
from .server import Ways

HISTORY = items(["own", "two"])
PROMPTS = [f"Prompt number {i}.\nAnswer:" for i in range(40)]
LABELS = [" A", " B"]


def at(*faults):
    """Those faults to the next requests, in order; then none."""
    left = list(faults)
    return lambda number, path: left.pop(0) if left and path != "/v1/models" else None


@pytest.mark.parametrize(
    "fault",
    [
        (429, {"Retry-After": "0.01"}, "slow down"),
        (429, {}, "slow down"),
        (500, {}, "oh"),
        "cut",
        (408, {}, "late"),
    ],
    ids=["429 told when", "429", "500", "cut", "408"],
)
def test_what_passes_is_tried_again(hosted, tmp_path, fault):
    server, backend = hosted(ledger=tmp_path / "ledger.jsonl")
    server.ways.fault = at(fault, fault)
    assert backend.choose(["Answer:"], LABELS)[0].mass > 0
    (row,) = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    kind = "no_reply" if fault == "cut" else str(fault[0])
    assert row["status"] == "ok"
    assert row["attempts"] == len(server.seen) == 3
    assert row["errors"] == ({} if fault == "cut" else {kind: 2})


def test_the_same_call_at_the_same_time_is_sent_once(hosted, tmp_path):
    server, backend = hosted(ledger=tmp_path / "ledger.jsonl")
    server.ways.fault = lambda number, path: time.sleep(0.1)
    first, *others = backend.choose(["Answer:"] * 5, LABELS)
    assert others == [first] * 4
    assert len(server.seen) == 1
    total = summarise(tmp_path / "ledger.jsonl")
    assert (total["calls"], total["stored"], total["attempts"]) == (1, 4, 1)


def test_retry_after_is_honoured(hosted):
    server, backend = hosted()
    server.ways.fault = at((429, {"Retry-After": "0.4"}, "slow down"))
    begin = time.monotonic()
    backend.choose(["Answer:"], LABELS)
    assert time.monotonic() - begin >= 0.4


@pytest.mark.parametrize("kind", ["requests", "tokens"])
def test_a_server_that_takes_no_more_is_not_asked_before_it_does(hosted, kind):
    server, backend = hosted(concurrency=1)
    server.ways.headers = lambda number: {
        f"x-ratelimit-remaining-{kind}": str(1 - number),
        f"x-ratelimit-reset-{kind}": "400ms" if number == 1 else "1h",
    }
    begin = time.monotonic()
    backend.choose(PROMPTS[:2], LABELS)
    assert time.monotonic() - begin < 0.4
    backend.choose(PROMPTS[2:3], LABELS)
    assert time.monotonic() - begin >= 0.4
    assert len(server.seen) == 3


def test_what_stays_is_an_error_after_all_attempts_and_no_second_layer(hosted, tmp_path):
    server, backend = hosted(retries=2, ledger=tmp_path / "ledger.jsonl")
    server.ways.fault = lambda number, path: (
        429,
        {"Retry-After": "0.01"},
        "Rate limit of sk-secret123 reached",
    )
    with pytest.raises(
        BackendError, match=r"answered 429 after 3 attempts: Rate limit of \[key\] reached"
    ) as caught:
        backend.choose(["Answer:"], LABELS)
    assert caught.value.retryable
    assert len(server.seen) == 3
    assert summarise(tmp_path / "ledger.jsonl")["errors"] == {"429": 3}


@pytest.mark.parametrize("field", ["code", "type"])
def test_where_nothing_is_left_to_pay_with_nothing_is_tried_again(hosted, field):
    server, backend = hosted(retries=3)
    error = {"message": "You exceeded your current quota", field: "insufficient_quota"}
    server.ways.fault = lambda number, path: (429, {"Retry-After": "0.01"}, error)
    with pytest.raises(BackendError, match="answered 429: You exceeded your current quota") as caught:
        backend.choose(["Answer:"], LABELS)
    assert not caught.value.retryable
    assert len(server.seen) == 1


def test_a_server_that_hangs_is_given_up(hosted):
    server, backend = hosted(retries=1, timeout=0.1)
    server.ways.fault = lambda number, path: "hang"
    with pytest.raises(
        BackendError, match=r"did not answer in time after 2 attempts: 0\.1 s an attempt"
    ) as caught:
        backend.choose(["Answer:"], LABELS)
    assert server.url in str(caught.value)


def test_an_attempt_ends_in_time_however_a_server_drips(hosted):
    server, backend = hosted(retries=1, timeout=0.3)
    server.ways.fault = lambda number, path: "drip"
    begin = time.monotonic()
    with pytest.raises(BackendError, match=r"did not answer in time after 2 attempts: 0\.3 s an attempt"):
        backend.choose(["Answer:"], LABELS)
    assert time.monotonic() - begin < 5


def test_a_reply_that_is_large_unpacked_is_not_read_on(hosted):
    server, backend = hosted(retries=0)
    server.ways.fault = at("bomb")
    with pytest.raises(BackendError, match=r"reply is longer than 64 MB") as caught:
        backend.choose(["Answer:"], LABELS)
    assert not caught.value.retryable
    assert backend.choose(["Answer:"], LABELS)


def test_a_reply_packed_as_nobody_asked_is_refused(hosted):
    server, backend = hosted(retries=0)
    server.ways.headers = lambda number: {"Content-Encoding": "gzip, gzip"}
    with pytest.raises(BackendError, match="packed its reply by 'gzip, gzip', which nobody asked for"):
        backend.choose(["Answer:"], LABELS)


def test_nothing_is_sent_on_to_where_a_server_points(hosted):
    other, _ = hosted()
    server, backend = hosted()
    place = other.url.replace("//", "//me:secret@") + "/completions?key=secret"
    server.ways.fault = lambda number, path: (307, {"Location": place}, "moved")
    words = f"at {server.url} sends requests on to {other.url}/completions. Nothing was sent there"
    with pytest.raises(BackendError, match=words):
        backend.choose(["Answer:"], LABELS)
    assert len(server.seen) == 1
    with pytest.raises(BackendError, match=words):
        hosted.connect(server, refresh=True)
    assert other.seen == []


def test_a_key_that_goes_out_in_clear_is_told_once(monkeypatch, caplog):
    for key in ("none", "sk-secret"):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        for place in ("http://far.example:8000/v1", "http://127.0.0.1:9/v1", "https://safe.example/v1"):
            for _ in range(2):
                Client("openai:m", "m", Hosted(base_url=place)).close()
    told = "The key in OPENAI_API_KEY goes to far.example over http://, unencrypted; use https:// if you can."
    assert caplog.messages == [told]


@pytest.mark.parametrize(
    ("fault", "why"), [("malformed", "answered no JSON"), ((400, {}, "bad"), "answered 400")]
)
def test_what_cannot_pass_is_an_error_at_once_and_is_not_kept(hosted, fault, why):
    server, backend = hosted()
    server.ways.fault = at(fault)
    with pytest.raises(BackendError, match=why):
        backend.choose(["Answer:"], LABELS)
    assert backend.choose(["Answer:"], LABELS)
    assert len(server.seen) == 2


def test_log_probabilities_that_go_missing_on_the_way_are_an_error_not_zeros(hosted):
    server, backend = hosted()
    server.ways.logprobs = False
    server.ways.echo = "silent"
    with pytest.raises(BackendError, match="without log-probabilities, so no label can be read"):
        backend.choose(["Answer:"], LABELS)
    with pytest.raises(BackendError, match="left log-probabilities of a prompt out"):
        backend.score([ScoreRequest("a\n", ["b\n"])])


@pytest.mark.parametrize("lie", [5.0, 800.0, 1e308])
def test_a_log_probability_above_0_is_none_and_is_asked_again(hosted, monkeypatch, lie):
    _, backend = hosted(Ways(top=1000))
    monkeypatch.setattr(served, "logprob", lambda text, token: lie if token == " A" else -3.0)
    (choice,) = backend.choose(["One:"], LABELS)
    assert (choice.outside, choice.logprobs[0]) == ({0}, choice.logprobs[1])
    assert choice.mass == pytest.approx(math.exp(-3))
    monkeypatch.setattr(served, "logprob", lambda text, token: lie)
    with pytest.raises(BackendError, match=r"so no label can be read \(a value above 0 is none\)"):
        backend.choose(["Two:"], LABELS)
    with pytest.raises(BackendError, match=r"cannot be scored \(a value above 0 is none\)"):
        backend.score([ScoreRequest("a\n", ["b\n"])])
    monkeypatch.undo()
    assert backend.choose(["Two:"], LABELS)[0].mass < 1
    assert backend.score([ScoreRequest("a\n", ["b\n"])])


def test_the_cap_on_calls_at_once_is_kept(hosted):
    server, backend = hosted(concurrency=3)
    server.ways.fault = lambda number, path: "hang" if number < 6 else None
    backend.choose(PROMPTS[:12], LABELS)
    assert server.most_busy == 3


def test_answers_are_kept_and_never_paid_for_twice(hosted, tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    server, backend = hosted(ledger=ledger)
    first = backend.choose(PROMPTS, LABELS)
    assert len(server.seen) == len(PROMPTS)
    again = hosted.connect(server, ledger=ledger)
    assert again.choose(PROMPTS, LABELS) == first
    assert len(server.seen) == len(PROMPTS)
    found = summarise(ledger)
    assert (found["calls"], found["stored"]) == (len(PROMPTS), len(PROMPTS))
    assert again.usage.evaluated == 0


def test_a_run_that_is_stopped_goes_on_where_it_was(hosted):
    """The server dies half-way: what was answered is not asked again."""
    server, backend = hosted(retries=0, concurrency=1)
    server.ways.fault = lambda number, path: (500, {}, "gone") if number >= 15 else None
    with pytest.raises(BackendError, match="gone"):
        backend.choose(PROMPTS, LABELS)
    answered = {body for path, body, _ in server.seen[:15]}
    server.forget()
    server.ways.fault = lambda number, path: None
    hosted.connect(server).choose(PROMPTS, LABELS)
    assert len(server.seen) == len(PROMPTS) - 15
    assert not answered & {body for _, body, _ in server.seen}


def test_a_fifth_of_all_calls_may_fail(hosted, tmp_path):
    """Nobody is lost, nobody is ranked otherwise than on a server without faults, the ledger adds up."""
    ledger = tmp_path / "ledger.jsonl"
    users = [items([f"u{i}", f"v{i}"]) for i in range(30)]
    candidates = items("abcdef")
    _, sound = hosted()
    expected = [rank(LabelRanker(sound, prompter()), user, candidates).ids for user in users]
    dice = random.Random(5)
    faults = [(429, {"Retry-After": "0.01"}, "slow"), (500, {}, "oh"), "cut"]
    server, backend = hosted(ledger=ledger)
    server.ways.fault = lambda number, path: dice.choice(faults) if dice.random() < 0.2 else None
    ranker = LabelRanker(backend, prompter())
    assert [rank(ranker, user, candidates).ids for user in users] == expected
    found = summarise(ledger)
    cut = sum(json.loads(line)["attempts"] for line in ledger.read_text().splitlines())
    assert found["attempts"] == cut == len(server.seen)
    assert found["failed"] == 0
    assert found["calls"] == 30 * 4
    assert found["errors"].keys() == {"429", "500"}


def test_a_budget_stops_before_it_is_passed(hosted):
    _, backend = hosted(budget_tokens=6000, concurrency=4)
    with pytest.raises(BudgetExceeded, match="of 6000 tokens"):
        backend.choose([f"{i} {'word ' * 40}\nAnswer:" for i in range(200)], LABELS)
    spent = backend.usage.evaluated
    assert 0 < spent <= 6000
    assert spent > 6000 - 700  # what the last call could have cost, at a token a byte


def test_a_reply_that_cannot_be_used_was_paid_for_all_the_same(hosted, tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    server, backend = hosted(budget_tokens=1000, ledger=ledger)
    server.ways.logprobs = False
    prompt = f"{'word ' * 40}\nAnswer:"
    with pytest.raises(BackendError, match="without log-probabilities"):
        backend.choose([prompt], LABELS)
    found = summarise(ledger)
    assert backend.usage.evaluated == found["tokens_sent"] + found["tokens_answered"] > 0
    seen = []
    for _ in range(20):
        with pytest.raises(BackendError) as caught:
            backend.choose([prompt], LABELS)
        seen.append(type(caught.value))
    assert seen[-1] is BudgetExceeded


def in_a_thread(work):
    """Starts it, and gives it time to send its request; the result is in the list that comes back."""
    found = []
    thread = threading.Thread(target=lambda: found.append(work()), daemon=True)
    thread.start()
    time.sleep(0.15)
    return thread, found


def test_counting_tokens_takes_nothing_of_a_budget_and_keeps_nobody_waiting(hosted):
    server, _ = hosted(Ways(tokenizer=True, fault=lambda number, path: path == "/tokenize" and "hang"))
    backend = hosted.connect(server, budget_tokens=700)
    counting, counts = in_a_thread(lambda: backend.count_tokens("w" * 400))
    scoring, scores = in_a_thread(lambda: backend.score([ScoreRequest("x y z w", [" a b"])]))
    assert backend.count_tokens("x" * 400) == 1
    for thread in (counting, scoring):
        thread.join(timeout=10)
    assert counts == [1]
    assert [score.tokens for score in scores[0][0]] == [2]


def test_who_waits_for_room_goes_on_when_a_probe_has_cost_less_than_set_aside(hosted):
    server, _ = hosted()
    server.ways.fault = lambda number, path: "hang"
    client = Client("openai:hash-1", "hash-1", Hosted(base_url=server.url, budget_tokens=700))
    body = {"prompt": "x " * 100, "max_tokens": 1}
    probing, replies = in_a_thread(lambda: client.attempt("/completions", body))
    asking, answers = in_a_thread(lambda: client.ask([Call("/completions", body, lambda reply: None)], []))
    for thread in (probing, asking):
        thread.join(timeout=10)
    client.close()
    assert replies[0][0]["choices"] == answers[0][0]["choices"]


def test_a_probe_whose_cost_nobody_says_counts_as_the_most_it_can_be(hosted):
    with pytest.raises(BudgetExceeded, match="of 1000 tokens"):
        hosted(Ways(usage=False), budget_tokens=1000)


def test_money_needs_prices(hosted, tmp_path):
    with pytest.raises(ConfigError, match="A budget in money needs prices"):
        hosted(budget_money=1.0)
    prices = tmp_path / "prices.yaml"
    prices.write_text("hash-1: {input: 1000, output: 2000}\n")
    ledger = tmp_path / "ledger.jsonl"
    _, backend = hosted(prices=prices, budget_money=2.5, ledger=ledger)
    backend.generate([{"role": "user", "content": "one two three"}], max_tokens=10)
    assert summarise(ledger)["money"] == pytest.approx((3 * 1000 + 5 * 2000) / 1e6)
    with pytest.raises(BudgetExceeded, match=r"of 2\.5 in money"):
        backend.generate([{"role": "user", "content": "x" * 3000}], max_tokens=10)


def test_a_reply_that_does_not_say_its_cost_counts_as_the_most_it_can_be(hosted):
    _, backend = hosted(Ways(usage=False), budget_tokens=100_000)
    backend.generate([{"role": "user", "content": "one"}], max_tokens=10)
    assert backend.usage.evaluated > 10


def test_the_ledger_holds_no_text_and_no_key(hosted, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    ledger = tmp_path / "ledger.jsonl"
    server, backend = hosted(ledger=ledger)
    rank(ListedRanker(backend, prompter()), HISTORY, items(["zebra", "yak"]))
    assert server.seen[0][2]["authorization"] == "Bearer sk-very-secret"
    text = ledger.read_text()
    assert "ZEBRA" not in text
    assert "secret" not in text


def test_an_error_never_shows_the_key(hosted, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "plain-key-17")
    server, backend = hosted(retries=0)
    server.ways.fault = lambda number, path: (400, {}, "You sent Bearer plain-key-17, plain-key-17")
    with pytest.raises(BackendError) as caught:
        backend.choose(["Answer:"], LABELS)
    assert "plain-key" not in str(caught.value)
    assert "[key]" in str(caught.value)


def test_a_closed_backend_says_so(hosted):
    _, backend = hosted()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.choose(["Answer:"], LABELS)
