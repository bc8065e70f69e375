"""The Batch API against the fault server: few batches, the same answers, nothing sent twice."""

import json
import subprocess
import sys
import time

import hypothesis.strategies as st
import pytest
from hypothesis import given

from llmrec_prompt.backends import Hosted, load_backend
from llmrec_prompt.backends.openai import batching
from llmrec_prompt.backends.openai.answers import AnswerStore
from llmrec_prompt.cache import cache_dir
from llmrec_prompt.data import Dataset, write_two_file
from llmrec_prompt.errors import BackendError
from llmrec_prompt.evaluate import Plan, evaluate
from llmrec_prompt.rank import LabelRanker, ListedRanker, Request, rank_many
from llmrec_prompt.types import Interaction

from ...rank.toys import items, prompter
from .ledgers import summarise
from .server import Ways

BATCHED = {"batch": True, "batch_poll": 0.02}
ASKED = [(items(h), items("abcd"), Request(user=h)) for h in ("e", "fg", "h", "ij")]


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(batching, "GATHER_S", 0.1)


def orders(backend, asked=ASKED):
    found = rank_many(ListedRanker(backend, prompter()), asked, workers=backend.info.at_once)
    return [ranking.ids for ranking in found]


def sent(server):
    return [path for path, _, _ in server.seen if path in ("/v1/batches", "/v1/chat/completions")]


def test_many_users_are_one_batch_and_the_answers_those_of_single_calls(hosted, tmp_path):
    _, single = hosted()
    one_by_one = orders(single)
    server, backend = hosted(ledger=tmp_path / "l.jsonl", **BATCHED)
    assert backend.info.at_once == 1000
    assert orders(backend) == one_by_one
    total = summarise(tmp_path / "l.jsonl")
    assert (total["calls"], total["failed"]) == (len(ASKED), 0)
    assert total["tokens_sent"] > 0
    assert (total["attempts"], total["errors"]) == (0, {})  # files and looks at a batch are no calls
    assert len(server.shelf.batches) == 1


def test_a_batch_is_one_file_of_one_endpoint(hosted):
    server, backend = hosted(**BATCHED)
    orders(backend)
    assert sent(server) == ["/v1/batches"]
    (batch,) = server.bodies("/v1/batches")
    assert (batch["endpoint"], batch["completion_window"]) == ("/v1/chat/completions", "24h")
    lines = [json.loads(line) for line in server.shelf.files[batch["input_file_id"]].splitlines()]
    assert [line["url"] for line in lines] == ["/v1/chat/completions"] * len(ASKED)
    assert len({line["custom_id"] for line in lines}) == len(ASKED)
    orders(backend)
    assert sent(server) == ["/v1/batches"]  # kept, like all answers
    assert not list((cache_dir() / "hosted" / "batches").rglob("*.json"))


def test_every_ranking_says_its_own_tokens(hosted):
    _, backend = hosted(**BATCHED)
    found = list(rank_many(ListedRanker(backend, prompter()), ASKED, workers=50))
    _, single = hosted()
    alone = [next(rank_many(ListedRanker(single, prompter()), [one], workers=1)) for one in ASKED]
    assert [r.provenance.tokens_evaluated for r in found] == [r.provenance.tokens_evaluated for r in alone]


def test_calls_that_the_server_refuses_fail_alone(hosted):
    ways = Ways(answer=lambda prompt: '{"ranking": [1, 2, 3, 4]}')
    server, backend = hosted(ways, **BATCHED)
    ways.limit = "max_completion_tokens"  # what was right when it was probed
    with pytest.raises(BackendError, match=r"answered 400: Use 'max_completion_tokens' instead"):
        orders(backend)
    ways.limit = "max_tokens"
    assert len(orders(backend)) == len(ASKED)
    assert len(server.shelf.batches) == 2


@pytest.mark.parametrize("end", ["expired", "cancelled"])
def test_a_batch_that_ends_early_keeps_what_it_answered(hosted, end):
    ways = Ways(batch_end=end, batch_answers=3)
    server, backend = hosted(ways, **BATCHED)
    with pytest.raises(BackendError, match=rf"ended as {end} without an answer to this call"):
        orders(backend)
    backend.close()
    ways.batch_end, ways.batch_answers = "completed", 10**9
    again = hosted.connect(server, **BATCHED)
    orders(again)
    (_, second) = server.bodies("/v1/batches")
    assert len(server.shelf.files[second["input_file_id"]].splitlines()) == 1


def test_a_server_without_batches_says_so(hosted):
    _, backend = hosted(Ways(batches=False), **BATCHED)
    with pytest.raises(BackendError, match="A batch for openai:hash-1 failed: NotFoundError"):
        orders(backend)


KILLED = """
import sys
from llmrec_prompt.backends import Hosted, load_backend
from llmrec_prompt.backends.openai import batching
from tests.backends.hosted.test_batching import orders
batching.GATHER_S = 0.1
orders(load_backend("openai:hash-1", hosted=Hosted(base_url=sys.argv[1], batch=True, batch_poll=0.02)))
"""


def killed_at(server, seen):
    """A process that asks, killed when the server has seen a request to such a path."""
    process = subprocess.Popen([sys.executable, "-c", KILLED, server.url])
    while not any(seen(path) for path, _, _ in server.seen):
        assert process.poll() is None
    process.kill()
    process.wait()


def looks(path):
    return path.startswith("/v1/batches/")


def test_killed_while_it_sends_the_next_run_finds_the_batch(hosted):
    """The server takes it when nobody is there any more to hear its name."""
    ways = Ways()
    server, _ = hosted(ways)
    ways.fault = lambda number, path: "hang" if path == "/v1/batches" else None
    killed_at(server, lambda path: path == "/v1/batches")
    assert not server.shelf.batches
    (note,) = (cache_dir() / "hosted" / "batches").rglob("*.json")
    assert json.loads(note.read_text())["batch"] == ""
    while not server.shelf.batches:
        time.sleep(0.01)
    again = hosted.connect(server, **BATCHED)
    assert len(orders(again)) == len(ASKED)
    assert sent(server) == ["/v1/batches"]


def test_killed_before_it_sends_the_next_run_sends_the_file(hosted):
    ways = Ways()
    server, backend = hosted(ways, retries=0, **BATCHED)
    ways.fault = lambda number, path: "gone" if path == "/v1/batches" else None
    with pytest.raises(BackendError, match="APIConnectionError"):
        orders(backend)
    ways.fault = lambda number, path: None
    assert len(orders(backend)) == len(ASKED)
    assert len(server.shelf.batches) == 1
    assert [path for path, _, _ in server.seen].count("/v1/files") == 1


def test_answers_that_nobody_waits_for_are_kept_too(hosted):
    ways = Ways(batch_looks=10**9)
    server, _ = hosted(ways)
    killed_at(server, looks)
    ways.batch_looks = 0
    for asked in (ASKED[:1], ASKED):
        again = hosted.connect(server, **BATCHED)
        assert len(orders(again, asked)) == len(asked)
        again.close()
    assert sent(server) == ["/v1/batches"]


def test_a_name_of_the_servers_is_no_path(hosted, tmp_path):
    mine = tmp_path / "settings-0.json"
    mine.write_text("{}")
    _, backend = hosted(Ways(file_name=f"{tmp_path}/settings-"), **BATCHED)
    assert len(orders(backend)) == len(ASKED)
    assert mine.read_text() == "{}"
    assert not list((cache_dir() / "hosted" / "batches").rglob("*.json"))


def test_answers_to_calls_that_were_not_asked_are_left_out_and_told_once(hosted, caplog):
    line = {"custom_id": "another's", "response": {"status_code": 200, "body": {"choices": []}}}
    _, backend = hosted(Ways(batch_extra=[line, line]), **BATCHED)
    assert len(orders(backend)) == len(ASKED)
    told = "Batch batch-0: 2 answers to calls that were not in it are left out."
    assert caplog.messages.count(told) == 1
    assert AnswerStore(cache_dir() / "hosted" / "answers.sqlite").get("another's") is None


def test_an_answer_that_cannot_be_used_is_asked_again(hosted):
    ways = Ways()
    server, backend = hosted(ways, **BATCHED)
    ranker = LabelRanker(backend, prompter())
    ways.logprobs = False
    with pytest.raises(BackendError, match="without log-probabilities"):
        list(rank_many(ranker, ASKED[:1], workers=9))
    ways.logprobs = True
    assert len(list(rank_many(ranker, ASKED[:1], workers=9))) == 1
    assert len(server.shelf.batches) == 2


def test_killed_while_it_waits_the_next_run_waits_for_the_same_batch(hosted):
    ways = Ways(batch_looks=10**9)
    server, _ = hosted(ways)
    killed_at(server, looks)
    ways.batch_looks = 0
    again = load_backend("openai:hash-1", hosted=Hosted(base_url=server.url, **BATCHED))
    assert len(orders(again)) == len(ASKED)
    assert sent(server) == ["/v1/batches"]
    again.close()


def test_an_evaluation_is_one_batch_and_says_the_same(hosted, tmp_path, monkeypatch):
    server, _ = hosted()
    rows = [Interaction(f"u{u}", f"i{(7 * u + n) % 30}", None, n) for u in range(12) for n in range(4)]
    shop = Dataset.from_rows(items([f"i{n}" for n in range(30)]), rows, name="shop", domain="shopping")
    write_two_file(shop, tmp_path / "shop")
    asked = {"users": 12, "candidates": 5, "embedder": "backend", "rankers": ("random", "listed")}
    plan = Plan(data=str(tmp_path / "shop"), model="openai:hash-1", **asked)
    reports = []
    for name, settings in (("single", {}), ("batch", BATCHED)):
        monkeypatch.setenv("LLMREC_CACHE", str(tmp_path / name))  # nobody knows the other's answers
        backend = load_backend(plan.model, hosted=Hosted(base_url=server.url, **settings))
        server.forget()
        reports.append(evaluate(plan, out=tmp_path / f"run-{name}", backend=backend))
        backend.close()
        assert len(sent(server)) == (1 if settings else 12)
    assert reports[0].rankers == reports[1].rankers
    single, batch = (report.costs["listed"]["tokens_per_user"] for report in reports)
    assert single == batch > 0


@given(lines=st.lists(st.binary(max_size=6), max_size=9), most=st.integers(1, 4), largest=st.integers(1, 9))
def test_files_hold_all_calls_in_order_and_no_more_than_they_may(lines, most, largest):
    calls = [(str(place), line) for place, line in enumerate(lines)]
    parts = list(batching.in_files(calls, most=most, largest=largest))
    assert [call for part in parts for call in part] == calls
    for part in parts:
        assert 1 <= len(part) <= most
        assert len(part) == 1 or sum(len(line) for _, line in part) <= largest
