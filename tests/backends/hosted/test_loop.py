"""Who is stopped loses no answer that is paid for: by Ctrl-C, and by the SIGTERM of whatever runs us."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import CancelledError

import pytest

from .ledgers import summarise
from .server import Ways

LABELS = [" A", " B"]
PROMPTS = [f"Prompt number {i}.\nAnswer:" for i in range(6)]
SLOW_S = 0.3
CONCURRENCY = 4


@pytest.fixture(autouse=True)
def interruptible():
    """Whoever runs the tests in the background may have told them to ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt():
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


def interrupt_when(ready):
    """Ctrl-C once something is so."""

    def watch():
        while not ready():
            time.sleep(0.005)
        interrupt()

    threading.Thread(target=watch, daemon=True).start()


def test_what_was_sent_is_awaited_and_kept_and_nothing_more_is_sent(hosted, caplog):
    server, backend = hosted(concurrency=2)
    server.ways.fault = lambda number, path: time.sleep(SLOW_S)
    interrupt_when(lambda: len(server.seen) == 2)
    with pytest.raises(KeyboardInterrupt):
        backend.choose(PROMPTS, LABELS)
    assert caplog.messages[0].endswith("Stop again to drop them.")
    assert len(server.seen) == 2
    assert len(backend.choose(PROMPTS, LABELS)) == len(PROMPTS)
    assert len(server.seen) == len(PROMPTS)


def dropped(work):
    with pytest.raises(CancelledError):
        work()


def test_where_nobody_stopped_one_interruption_drops_what_is_waited_for(hosted, caplog):
    server, backend = hosted()
    server.ways.fault = lambda number, path: time.sleep(4)
    asking = threading.Thread(target=dropped, args=[lambda: backend.choose(PROMPTS[:1], LABELS)])
    asking.start()
    while not server.seen:
        time.sleep(0.005)
    interrupt_when(lambda: caplog.messages)
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        backend.close()
    assert time.monotonic() - begin < 3
    waiting = "Waiting for 1 requests that were sent; their answers are kept. Ctrl-C drops them."
    assert caplog.messages == [waiting]
    asking.join()


def test_a_second_interruption_drops_them_and_the_ledger_says_so(hosted, tmp_path):
    server, backend = hosted(concurrency=2, timeout=60, ledger=tmp_path / "ledger.jsonl")
    server.ways.fault = lambda number, path: time.sleep(5)
    interrupt_when(lambda: len(server.seen) == 2)
    threading.Timer(1.0, interrupt).start()
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        backend.choose(PROMPTS, LABELS)
    assert time.monotonic() - begin < 4
    backend.close()
    rows = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert [row["status"] for row in rows] == ["dropped"] * 2
    assert all(row["tokens_sent"] >= len(PROMPTS[0]) for row in rows), "what a call can have cost at most"


def test_nobody_waits_for_a_server_that_takes_no_more(hosted):
    server, backend = hosted(concurrency=1)
    server.ways.headers = lambda number: {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1h",
    }
    backend.choose(PROMPTS[:1], LABELS)
    threading.Timer(0.3, interrupt).start()
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        backend.choose(PROMPTS, LABELS)
    assert time.monotonic() - begin < 5
    assert len(server.seen) == 1


def test_a_batch_is_not_waited_for(hosted):
    server, backend = hosted(batch=True, batch_poll=0.02)
    server.ways.batch_looks = 10**9
    interrupt_when(lambda: any(path == "/v1/batches" for path, _, _ in server.seen))
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        backend.choose(PROMPTS, LABELS)
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_stopped_and_resumed_pays_for_no_call_twice(hosted, tmp_path, how):
    server, _ = hosted()
    server.ways.fault = lambda number, path: time.sleep(0.05)
    code, stopped, asked, _ = stop_and_resume(server, tmp_path, how)
    assert code == 128 + how
    assert stopped < 12 * 4 == len(asked)
    assert max(asked.values()) == 1


def test_what_a_kill_loses_stands_in_the_ledger_and_has_the_name_it_had(hosted, tmp_path):
    """Nobody knows whether calls under way were answered; a server that knows their names runs none twice."""
    server, _ = hosted(Ways(remembers=True))
    server.runs.clear()
    server.ways.fault = lambda number, path: time.sleep(0.05)
    code, stopped, asked, total = stop_and_resume(server, tmp_path, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert stopped < 12 * 4 == len(asked)
    twice = asked.total() - len(asked)
    assert 0 < twice <= total["errors"]["no_reply"] <= CONCURRENCY
    assert 0 <= total["attempts"] - asked.total() <= CONCURRENCY
    assert len(server.runs) == len(asked)


def stop_and_resume(server, folder, how):
    """The exit status, how many calls were made before, how often each was made, and the ledger's totals."""
    (folder / "hosted.yaml").write_text(f"ledger: {folder / 'ledger.jsonl'}\nconcurrency: {CONCURRENCY}\n")
    command = [sys.executable, "-m", "llmrec_prompt", "eval", "run", "--data", "sample:movies"]
    command += ["--users", "12", "--candidates", "8", "--rankers", "label", "--model", "openai:hash-1"]
    command += ["--hosted", "--base-url", server.url, "--hosted-settings", str(folder / "hosted.yaml")]
    command += ["--out", str(folder / "run")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while len(server.seen) < 20 and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(how)
    code, stopped = process.wait(20), len(server.seen)
    subprocess.run([*command, "--resume"], check=True, stdout=subprocess.DEVNULL)
    asked = Counter(body for path, body, _ in server.seen if body)
    return code, stopped, asked, summarise(folder / "ledger.jsonl")
