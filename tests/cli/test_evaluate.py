import json
import os
import signal
import subprocess
import sys
import time

import pytest

from llmrec_prompt import Dataset, Interaction, Item

COMMON = ("--candidates", 10, "--embedder", "backend", "--json")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """300 users with three items of a catalogue of 120, without any pattern."""
    from random import Random

    from llmrec_prompt.data import write_two_file

    generator = Random(5)
    items = [Item(item_id=f"i{n}", title=f"Thing number {n}") for n in range(120)]
    rows = [
        Interaction(f"u{u}", f"i{n}", None, float(place))
        for u in range(300)
        for place, n in enumerate(generator.sample(range(120), 3))
    ]
    folder = tmp_path_factory.mktemp("shop")
    write_two_file(Dataset.from_rows(items, rows, name="shop"), folder)
    return folder


def test_oracle_scores_one_and_constant_scores_chance(llmrec, shop, tmp_path):
    run = ("eval", "run", "--data", shop, "--users", 300, *COMMON)
    oracle = llmrec(
        *run, "--rankers", "likelihood", "--model", f"fake:oracle:{shop}", "--out", tmp_path / "o"
    ).json
    assert oracle["rankers"]["likelihood"]["hr@1"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    constant = llmrec(
        *run, "--rankers", "likelihood,random", "--model", "fake:constant", "--out", tmp_path / "c"
    ).json
    assert constant["users"] == 300
    assert constant["events"]["likelihood"]["all_tied"] == 300
    for ranker in ("likelihood", "random"):
        for metric in ("hr@1", "hr@5", "ndcg@10", "mrr"):
            scores = constant["rankers"][ranker][metric]
            assert scores["low"] - 0.02 <= constant["chance"][metric] <= scores["high"] + 0.02, (
                ranker,
                metric,
            )


def test_report_shape_and_best_first(llmrec, shop, tmp_path):
    done = llmrec(
        "eval", "run", "--data", shop, "--users", 20, "--negatives", "popular", "--model", "fake:overlap",
        "--out", tmp_path / "r", *COMMON,
    )  # fmt: skip
    answer = done.json
    assert {"data", "protocol", "users", "seed", "rankers", "events", "run"} <= set(answer)
    assert set(answer["rankers"]) == {
        "random", "popularity", "bm25", "embedding", "co-occurrence", "likelihood", "fused"
    }  # fmt: skip
    means = [scores["ndcg@10"]["mean"] for scores in answer["rankers"].values()]
    assert means == sorted(means, reverse=True)
    table = llmrec("eval", "report", tmp_path / "r")
    assert table.code == 0
    assert "(chance)" in table.out
    assert next(iter(answer["rankers"])) in table.out.splitlines()[2]


def test_given_candidates_file(llmrec, shop, tmp_path):
    file = tmp_path / "candidates.tsv"
    file.write_text("u1\ti0 i1 i2 i3 i4\nu2\ti5 i6 i7 i8 i9\n")
    answer = llmrec(
        "eval", "run", "--data", shop, "--negatives", file, "--rankers", "random", "--model", "fake:constant",
        "--out", tmp_path / "r", *COMMON,
    ).json  # fmt: skip
    assert answer["users"] == 2
    rows = [json.loads(line) for line in (tmp_path / "r" / "rows.jsonl").read_text().splitlines()]
    assert {len(row["ids"]) for row in rows} <= {5, 6}
    bad = tmp_path / "bad.tsv"
    bad.write_text("u1\ti0 nonsense\n")
    done = llmrec("eval", "run", "--data", shop, "--negatives", bad, "--rankers", "random", *COMMON)
    assert done.code == 1
    assert "nonsense" in done.err


def test_run_is_resumed_and_never_mixed(llmrec, shop, tmp_path):
    out = tmp_path / "r"
    run = [
        "eval",
        "run",
        "--data",
        shop,
        "--users",
        30,
        "--rankers",
        "random,likelihood",
        "--model",
        "fake:random",
    ]
    whole = llmrec(*run, "--out", out, *COMMON).json
    lines = (out / "rows.jsonl").read_bytes().splitlines(keepends=True)
    (out / "rows.jsonl").write_bytes(b"".join(lines[:17]) + lines[17][:9])
    again = llmrec(*run, "--out", out, *COMMON)
    assert again.code == 1
    assert "--resume" in again.err
    resumed = llmrec(*run, "--out", out, "--resume", *COMMON).json
    assert {k: resumed[k] for k in ("rankers", "events", "users")} == {
        k: whole[k] for k in ("rankers", "events", "users")
    }
    other = llmrec(*run, "--seed", 1, "--out", out, "--resume", *COMMON)
    assert other.code == 1
    assert "Choose another --out" in other.err


def test_killed_run_ends_with_the_same_numbers(llmrec, shop, tmp_path):
    arguments = [
        "eval", "run", "--data", shop, "--users", 300, "--rankers", "random,bm25,embedding,co-occurrence",
        "--model", "fake:random", *COMMON,
    ]  # fmt: skip
    whole = llmrec(*arguments, "--out", tmp_path / "whole").json
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "llmrec_prompt", *map(str, arguments), "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    rows = out / "rows.jsonl"
    deadline = time.monotonic() + 60
    while not (rows.exists() and rows.stat().st_size > 20_000) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 0 < len(rows.read_bytes().splitlines()) < 1200
    resumed = llmrec(*arguments, "--out", out, "--resume").json
    assert resumed["rankers"] == whole["rankers"]


def test_bad_plans(llmrec, shop, tmp_path):
    for arguments, words in (
        (["--users", 0], "at least 1"),
        (["--candidates", 1], "at least"),
        (["--negatives", "hard"], "neither"),
        (["--rankers", "randon"], "Did you mean 'random'?"),
        (["--rankers", ","], "at least one"),
    ):
        done = llmrec(
            "eval", "run", "--data", shop, "--model", "fake:random", "--out", tmp_path / "x", *arguments
        )
        assert done.code == 1, arguments
        assert words in done.err
    assert llmrec("eval", "report", tmp_path).code == 1


SMALL = ["--users", 20, "--rankers", "random,likelihood", "--model", "fake:overlap", *COMMON]


@pytest.fixture
def suite(shop, tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "small.yaml"
    path.write_text(
        f"data: {shop}\nusers: 10\ncandidates: 8\nrankers: [random, likelihood]\nmodels: ['fake:overlap']\n"
        "embedder: backend\nnegatives: [uniform, popular]\nbaseline: random\n"
    )
    return path


def test_a_suite_is_estimated_run_reported_and_never_mixed(llmrec, suite, tmp_path):
    estimate = llmrec("eval", "run", suite, "--dry-run", "--json").json
    assert [(row["ranker"], row["users"]) for row in estimate["runs"]] == [
        ("random", 10),
        ("likelihood", 10),
    ] * 2
    assert {row["from"] for row in estimate["runs"]} == {"3 questions"}
    assert estimate["total"]["tokens"] > 0
    assert not (tmp_path / "runs").exists()
    out = tmp_path / "out"
    done = llmrec("eval", "run", suite, "--out", out, "--json").json
    assert [(sheet["negatives"], sheet["users"]) for sheet in done["sheets"]] == [
        ("uniform", 10),
        ("popular", 10),
    ]
    assert done["run"] == str(out)
    assert "--resume" in llmrec("eval", "run", suite, "--out", out).err
    again = llmrec("eval", "run", suite, "--out", out, "--resume", "--json").json
    assert again["sheets"][0]["rankers"] == done["sheets"][0]["rankers"]
    table = llmrec("eval", "report", out, "--baseline", "likelihood")
    assert "Verdicts are against likelihood" in table.err
    assert "likelihood" in table.out
    known = llmrec("eval", "run", suite, "--dry-run")
    assert "4 lines are from recorded rates" in known.err
    assert ", protocol leave-last-out, users 10, " in known.err
    assert "cost nothing" in " ".join(known.out.split())


def test_what_a_suite_decides_is_no_option_beside_it(llmrec, suite):
    done = llmrec("eval", "run", suite, "--users", 5)
    assert (done.code, "--users is not for a suite" in done.err) == (1, True)
    few = llmrec("eval", "run", suite, "--set", "users=3", "--dry-run", "--json").json
    assert {row["users"] for row in few["runs"]} == {3}
    for arguments in ((), ("--data", "sample:movies", "--set", "users=3")):
        done = llmrec("eval", "run", *arguments)
        assert (done.code, "Give a suite in YAML" in done.err) == (1, True)
    assert "Unknown ranker 'x'" in llmrec("eval", "run", suite, "--set", "rankers=[x]").err


def test_money_is_known_where_a_price_is(llmrec, suite, monkeypatch):
    from llmrec_prompt.evaluate.estimate import Line, total
    from llmrec_prompt.evaluate.plan import Plan
    from llmrec_prompt.evaluate.rates import Rate

    hosted = Plan("x", model="openai:some", rankers=("label",))
    lines = [Line(hosted, "label", 100, 0, Rate(1.0, 2000.0)), Line(hosted, "bm25", 100, 0, Rate(0.1, 0.0))]
    assert total(lines, {"openai:some": 0.5})["cost"] == 0.1
    assert total(lines, {})["cost"] is None
    assert total(lines[1:], {})["cost"] == 0


def test_two_runs_are_compared(llmrec, shop, tmp_path):
    for name, model in (("a", "fake:overlap"), ("b", f"fake:oracle:{shop}")):
        llmrec("eval", "run", "--data", shop, *SMALL, "--model", model, "--out", tmp_path / name)
    found = llmrec("eval", "compare", tmp_path / "a", tmp_path / "b", "--json").json
    calls = {t["ranker"]: t["call"] for t in found["tests"] if t["metric"] == "ndcg@10"}
    assert calls == {"random": "too close to call", "likelihood": "worse"}
    assert next(iter(found["differ"])) == "model"
    assert found["differ"]["model"] == ["fake:overlap", f"fake:oracle:{shop}"]
    words = llmrec("eval", "compare", tmp_path / "a", tmp_path / "b")
    assert "They differ in model: 'fake:overlap' in A, 'fake:oracle:" in " ".join(words.err.split())
    assert "likelihood of B is better than likelihood of A" in " ".join(words.out.split())
    llmrec("eval", "run", "--data", shop, *SMALL, "--seed", 3, "--out", tmp_path / "c")
    done = llmrec("eval", "compare", tmp_path / "a", tmp_path / "c")
    assert (done.code, "different exams" in done.err) == (1, True)
    assert llmrec("eval", "compare", tmp_path / "a", tmp_path).code == 1


def test_a_cold_user_is_refused_and_counted(llmrec, shop, tmp_path):
    done = llmrec(
        "eval", "run", "--data", shop, *SMALL, "--history", 0, "--rankers", "likelihood,random,popularity",
        "--out", tmp_path / "r",
    ).json  # fmt: skip
    assert set(done["rankers"]) == {"random", "popularity"}
    assert done["events"]["likelihood"] == {"refused": 20}
    assert "history is empty" in done["refusals"]["likelihood"]
    assert "refused" in llmrec("eval", "report", tmp_path / "r").err


def test_trackers(llmrec, shop, tmp_path):
    done = llmrec("eval", "run", "--data", shop, *SMALL, "--tracker", "wandb", "--out", tmp_path / "r")
    assert (done.code, "Unknown tracker 'wandb'" in done.err) == (1, True)
    assert not (tmp_path / "r").exists()


def test_a_hosted_model_is_asked_only_with_leave(llmrec, shop, tmp_path):
    run = ["eval", "run", "--data", shop, "--users", 2, "--rankers", "listed", "--model", "openai:x", *COMMON]
    refused = llmrec(*run, "--out", tmp_path / "r")
    assert (refused.code, "--hosted" in refused.err) == (1, True)
    nobody = llmrec(*run, "--hosted", "--base-url", "http://127.0.0.1:9/v1", "--out", tmp_path / "r")
    assert nobody.code == 1
    assert "would leave this machine" not in nobody.err
    assert not (tmp_path / "r").exists()


def test_probes_print_tables_or_json_and_say_what_was_refused(llmrec):
    ask = (
        "eval",
        "probe",
        "--data",
        "sample:movies",
        "--users",
        5,
        "--candidates",
        8,
        "--embedder",
        "backend",
    )
    done = llmrec(*ask, "--rankers", "label,popularity", "--model", "fake:overlap")
    assert done.code == 0, done.err
    assert "Mean rank of the target" in done.out
    assert "SNSR" in done.out
    assert "exchange" in done.out
    assert "attributes: popularity: popularity reads no prompt" in done.err
    found = llmrec(
        *ask, "--rankers", "label", "--probes", "position", "--model", "fake:overlap", "--json"
    ).json
    assert set(found) == {"facts", "position", "refused"}
    assert llmrec(*ask, "--probes", "places", "--model", "fake:overlap").code == 1


def test_a_cache_that_cannot_be_written_hides_no_result(llmrec, shop, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path / "file" / "cache"))
    done = llmrec(
        "eval", "run", "--data", shop, "--users", 5, "--model", "fake:overlap", "--rankers",
        "random,embedding,likelihood", "--out", tmp_path / "r", *COMMON,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert set(done.json["rankers"]) == {"random", "embedding", "likelihood"}


def test_a_probe_that_could_ask_nothing_fails(llmrec):
    done = llmrec(
        "eval", "probe", "--data", "sample:movies", "--users", 4, "--candidates", 5, "--model",
        "fake:overlap", "--probes", "attributes", "--rankers", "bm25", "--json",
    )  # fmt: skip
    assert done.code == 1
    assert "Nothing could be asked: bm25 reads no prompt" in done.err
    assert done.json["refused"]
