"""Hosted ranking against local ranking, and what faults and kills cost.

    python eval/bench/hosted.py same   [--users 50] [--candidates 10] [--threads 1] [--single]
    python eval/bench/hosted.py faults [--users 200]
    python eval/bench/hosted.py kill   [--users 200]

`same` ranks in this process and through real servers of the same file (llama-server from xllamacpp,
llama-cpp-python's own), in each mode that the server can serve; `--single` in single precision throughout, so
that what is left of differences is no rounding. `faults` asks a server that fails a fifth of
its requests. `kill` stops a run through a server that refuses a fifth of its requests half-way
(SIGTERM, SIGKILL; with single calls, and with a batch that is under way), resumes it, and counts what was
answered twice. The last two use the fault server of the tests,
so this runs from the repository.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).parents[2]))

from llmrec_prompt import Dataset, Ranking
from llmrec_prompt.backends import Backend, Hosted, load_backend, parse_ref
from llmrec_prompt.backends.llama_cpp import LlamaCppBackend
from llmrec_prompt.backends.loading import gguf_file
from llmrec_prompt.errors import Unsupported
from llmrec_prompt.rank import (
    EncoderRanker,
    LabelRanker,
    LikelihoodRanker,
    ListedRanker,
    Ranker,
    Request,
    YesNoRanker,
    rank_many,
)
from llmrec_prompt.templates import Prompter, load_domain
from llmrec_prompt.types import Item
from tests.backends.engines import single_precision_copy
from tests.backends.hosted.ledgers import summarise
from tests.backends.hosted.real import missing, real_server
from tests.backends.hosted.server import MODEL, Server, Ways, serving

Asked = tuple[list[Item], list[Item], Request]
Build = Callable[[Backend, Prompter], Ranker]
MODES: dict[str, Build] = {
    "likelihood": LikelihoodRanker,
    "label": LabelRanker,
    "yes_no": YesNoRanker,
    "listed": ListedRanker,
    "encoder": lambda backend, prompter: EncoderRanker(backend, prompter, Dataset.load(SAMPLE)),
}
SAMPLE = "sample:movies"
SERVERS = ("llama-server", "llama-cpp-python")
FAULTS = ((429, {"Retry-After": "0.05"}, "slow down"), (500, {}, "oh"), "cut")
SHARE = 0.2


def main() -> None:
    """Run one of the three."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("same", "faults", "kill", "child"))
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--candidates", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--servers", nargs="*", default=list(SERVERS), choices=SERVERS, help="for `same`")
    parser.add_argument("--modes", nargs="*", default=list(MODES), choices=list(MODES), help="for `same`")
    parser.add_argument("--single", action="store_true", help="`same` with a file in single precision")
    parser.add_argument("--base-url", help=argparse.SUPPRESS)
    parser.add_argument("--batch", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--ledger", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    dataset = Dataset.load(SAMPLE)
    prompter = Prompter(load_domain("movies"), catalogue=dataset.items)
    asked = drawn(dataset, options.users, options.candidates)
    if options.what == "same":
        same(prompter, asked, options)
    elif options.what == "child":
        answer_all(options.base_url, prompter, asked, options)
    else:
        with tempfile.TemporaryDirectory() as cache:
            os.environ["LLMREC_CACHE"] = cache
            (faults if options.what == "faults" else kill)(prompter, asked)


def drawn(dataset: Dataset, users: int, candidates: int) -> list[Asked]:
    """Users with five items each, and others to be ranked for them."""
    dice = random.Random(0)
    found = []
    for user in range(users):
        items = dice.sample(dataset.items, 5 + candidates)
        found.append((items[:5], items[5:], Request(user=str(user))))
    return found


def same(prompter: Prompter, asked: list[Asked], given: argparse.Namespace) -> None:
    """A row for each server and mode: how far scores differ, how alike orders are."""
    file = single_precision_copy("smollm2") if given.single else gguf_file(parse_ref("smollm2"))[0]
    exact = "all" if given.single else "scores"
    size = {"context": 2048, "threads": given.threads}
    identity = f"same-{os.getpid()}"  # states kept by an earlier call may be of another precision
    local = LlamaCppBackend(file, ref="smollm2", model_hash=identity, exact=exact, **size)
    print("| server | mode | users | same order | Spearman, mean and least | score difference | events |")
    print("|---|---|---|---|---|---|---|")
    for kind in given.servers:
        if missing(kind):
            print(f"| {kind} | | not installed: {', '.join(missing(kind))} | | | | |")
            continue
        for embeddings in (False, True):
            modes = [mode for mode in given.modes if (mode == "encoder") == embeddings]
            if not modes:
                continue
            how = {"exact": given.single, "embeddings": embeddings, **size}
            with real_server(kind, file, **how) as url:
                hosted = Hosted(base_url=url, concurrency=1, refresh=True)
                backend = load_backend("openai:smollm2", hosted=hosted)
                for mode in modes:
                    compare(kind, mode, local, backend, prompter, asked)
                backend.close()
    local.close()


def compare(
    kind: str, mode: str, local: Backend, backend: Backend, prompter: Prompter, asked: list[Asked]
) -> None:
    """One row."""
    try:
        there = list(rank_many(MODES[mode](backend, prompter), asked, workers=1))
    except Unsupported as error:
        print(f"| {kind} | {mode} | refused | | | | {str(error)[:160]}… |")
        return
    here = list(rank_many(MODES[mode](local, prompter), asked, workers=1))
    pairs = [(scores_of(a), scores_of(b)) for a, b in zip(here, there, strict=True)]
    rhos = [spearmanr(a, b).statistic for a, b in pairs]
    equal = sum(a.ids == b.ids for a, b in zip(here, there, strict=True))
    gap = max(float(np.abs(a - b).max()) for a, b in pairs)
    events = sum((Counter(r.provenance.events) for r in there), Counter())
    print(
        f"| {kind} | {mode} | {len(asked)} | {equal} | {np.nanmean(rhos):.3f}, {np.nanmin(rhos):.3f} | "
        f"{gap:.3f} | {dict(events) or 'none'} |",
        flush=True,
    )


def scores_of(ranking: Ranking) -> np.ndarray:
    """Scores by item id, so that two rankings can be held against each other."""
    lines = sorted(ranking.recommendations, key=lambda line: line.item_id)
    return np.array([line.score for line in lines])


def faults(prompter: Prompter, asked: list[Asked]) -> None:
    """The same users with and without faults."""
    ledger = Path(os.environ["LLMREC_CACHE"]) / "ledger.jsonl"
    dice = random.Random(1)
    with serving(Ways()) as sound, serving(Ways()) as faulty:
        expected = ranked(sound.url, prompter, asked, None)
        connect(faulty.url, None).close()  # the probes are not what is tested
        faulty.forget()
        faulty.ways.fault = lambda number, path: dice.choice(FAULTS) if dice.random() < SHARE else None
        begin = time.monotonic()
        found = ranked(faulty.url, prompter, asked, ledger)
        seconds = time.monotonic() - begin
        total = summarise(ledger)
        wrong = sum(a.ids != b.ids for a, b in zip(expected, found, strict=True))
        print(f"{len(found)} of {len(asked)} users ranked in {seconds:.0f} s, {wrong} of them wrongly")
        print(f"requests at the server {len(faulty.seen)}, attempts in the ledger {total['attempts']}")
        print(f"ledger: {total}")
        assert len(found) == len(asked)
        assert wrong == total["failed"] == 0
        assert total["attempts"] == len(faulty.seen)


def kill(prompter: Prompter, asked: list[Asked]) -> None:
    """A child is stopped half-way; another one goes on. By each signal, with single calls and a batch."""
    for kind in ("one by one", "one by one, server knows Idempotency-Key", "batch"):
        for how in (signal.SIGTERM, signal.SIGKILL):
            with tempfile.TemporaryDirectory() as cache:
                os.environ["LLMREC_CACHE"] = cache
                stop_half_way(asked, how, kind)


def stop_half_way(asked: list[Asked], how: signal.Signals, kind: str) -> None:
    """Print how often the model was run before and in all, how often twice, and how many are said to be."""
    batch, remembers = kind == "batch", "knows" in kind
    with serving(Ways(batch_looks=3, remembers=remembers)) as server:
        connect(server.url, None).close()
        server.forget()
        server.runs.clear()
        server.ways.fault = refusals(random.Random(1))
        need = len(asked) * 4  # a label ranking asks in four orders
        half = (
            (lambda: any(server.shelf.looks.values())) if batch else (lambda: len(server.runs) >= need // 2)
        )
        arguments = [sys.executable, __file__, "child", "--users", str(len(asked)), "--base-url", server.url]
        ledger = Path(os.environ["LLMREC_CACHE"]) / "ledger.jsonl"
        arguments += ["--batch"] * batch + ["--ledger", str(ledger)]
        child = subprocess.Popen(arguments)
        while not half() and child.poll() is None:
            time.sleep(0.002)
        child.send_signal(how)
        child.wait()
        killed = len(runs_at(server))
        subprocess.run(arguments, check=True)
        counts = Counter(runs_at(server))
        total, twice = sum(counts.values()), sum(n - 1 for n in counts.values())
        lost = ledger.read_text(encoding="utf-8").count('"status": "lost"')
        print(
            f"{kind}: {how.name} after {killed} of {need} answers; {total} in the end; twice: {twice}", end=""
        )
        print(f"; lost, says the ledger: {lost}", flush=True)
        assert len(counts) == need
        assert twice <= lost <= (Hosted().concurrency if how == signal.SIGKILL and not batch else 0)
        assert not (twice and remembers)


def refusals(dice: random.Random) -> Callable[[int, str], object]:
    """Faults without an answer, in a fifth of all requests; each request takes a moment."""
    refused = [fault for fault in FAULTS if fault != "cut"]

    def fault(number: int, path: str) -> object:
        time.sleep(0.01)
        return dice.choice(refused) if dice.random() < SHARE else None

    return fault


def runs_at(server: Server) -> list[bytes]:
    """What the model answered, asked singly or in batches."""
    files = [server.shelf.files[batch["input_file_id"]] for batch in server.shelf.batches.values()]
    return server.runs + [line for file in files for line in file.splitlines()]


def connect(url: str, ledger: Path | None, batch: bool = False) -> Backend:
    """A backend on the fault server."""
    hosted = Hosted(base_url=url, ledger=ledger, batch=batch, batch_poll=0.5)
    return load_backend(f"openai:{MODEL}", hosted=hosted)


def ranked(
    url: str, prompter: Prompter, asked: list[Asked], ledger: Path | None, batch: bool = False
) -> list[Ranking]:
    """All users by labels, eight at a time, or as many as a batch takes."""
    backend = connect(url, ledger, batch)
    ranker: Ranker = LabelRanker(backend, prompter)
    found = list(rank_many(ranker, asked, workers=backend.info.at_once if batch else 8))
    backend.close()
    return found


def answer_all(url: str, prompter: Prompter, asked: list[Asked], given: argparse.Namespace) -> None:
    """What is killed; SIGTERM ends it as it ends `llmrec`."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    ranked(url, prompter, asked, given.ledger, given.batch)


if __name__ == "__main__":
    main()
