import html.parser
import json
import re
import shutil

import ir_measures
import numpy as np
import pytest

from llmrec_prompt import Dataset, Interaction, Item
from llmrec_prompt.data import write_two_file
from llmrec_prompt.errors import DataError, UnknownName
from llmrec_prompt.evaluate import RunDirectory, evaluate, report, summarise, write_report
from llmrec_prompt.evaluate.metrics import METRICS
from llmrec_prompt.evaluate.reports.curves import curves
from llmrec_prompt.evaluate.reports.page import page
from llmrec_prompt.evaluate.reports.rows import tally
from llmrec_prompt.evaluate.reports.sheet import label
from llmrec_prompt.evaluate.run_pair import compare_folders
from llmrec_prompt.evaluate.suite import Suite
from llmrec_prompt.evaluate.suite_run import run_suite
from llmrec_prompt.evaluate.trec import encoded

from ..shops import FILES, plan, shop


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMREC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return shop(tmp_path_factory.mktemp("data") / "shop", users=60, length=6)


@pytest.fixture(scope="module")
def folder(data, tmp_path_factory):
    """A run of all users by three rankers."""
    out = tmp_path_factory.mktemp("runs") / "run"
    evaluate(plan(data, users=None, candidates=10), out=out)
    return out


def test_the_interface_keeps_its_keys(folder):
    written = json.loads((folder / "report.json").read_text())
    assert {"data", "protocol", "users", "seed", "rankers", "events", "run"} <= set(written)
    assert (written["data"], written["users"], written["protocol"]) == ("shop", 60, "leave-last-out")
    assert set(written["rankers"]["likelihood"]["ndcg@10"]) == {"mean", "low", "high"}
    means = [scores["ndcg@10"]["mean"] for scores in written["rankers"].values()]
    assert means == sorted(means, reverse=True)


def test_no_clock_and_no_place_in_the_lasting_forms(folder):
    for name in FILES:
        text = (folder / name).read_text()
        assert "seconds" not in text
        assert str(folder.parent) not in text
    costs = json.loads((folder / "costs.json").read_text())
    assert costs["likelihood"]["computed"] == 60
    assert costs["likelihood"]["tokens_per_user"] > 0
    assert costs["likelihood"]["prepared"] == 30


def test_means_are_those_of_the_rows(folder):
    rows = [row for row in RunDirectory(folder).rows() if row["ranker"] == "popularity"]
    found = report(RunDirectory(folder))
    for metric in ("hr@1", "ndcg@10", "mrr"):
        mean = np.mean([row["metrics"][metric] for row in rows])
        assert found.rankers["popularity"][metric]["mean"] == pytest.approx(mean, abs=1e-4)


def test_the_baseline_is_popularity_or_whom_one_names(folder, data, tmp_path):
    found = report(RunDirectory(folder))
    assert found.more["baseline"] == "popularity"
    tests = found.more["comparisons"]
    assert {(t["ranker"], t["metric"]) for t in tests} == {
        (ranker, metric) for ranker in ("random", "likelihood") for metric in ("ndcg@10", "hr@10")
    }
    for t in tests:
        assert t["p_holm"] >= t["p"]
        assert t["low"] <= t["difference"] <= t["high"]
        assert (t["call"] == "too close to call") == (t["p_holm"] >= 0.05)
        assert t["words"]
    assert report(RunDirectory(folder), baseline="random").more["baseline"] == "random"
    with pytest.raises(UnknownName, match="Unknown baseline 'popularty'"):
        report(RunDirectory(folder), baseline="popularty")
    alone = evaluate(plan(data, rankers=("random",)), out=tmp_path / "alone")
    assert alone.more["comparisons"] == []
    assert alone.more["headline"] == ""


def test_curves_say_what_the_rows_say(folder):
    run = RunDirectory(folder)
    found = tally(label([run]))
    charts = curves(found, ["likelihood", "random"])
    ranks = np.array([row["target_rank"] for row in run.rows() if row["ranker"] == "random"])
    assert charts["cut"]["at"] == [str(k) for k in range(1, 11)]
    assert charts["cut"]["series"]["random"] == [round(float((ranks <= k).mean()), 4) for k in range(1, 11)]
    assert charts["cut"]["chance"][4] == 0.5
    assert sum(charts["place"]["users"]) == sum(charts["popularity"]["users"]) == 60
    assert "history" not in charts, "all have the same length, so there is no curve"


def test_trec_files_are_read_by_others_and_give_the_same(folder):
    qrels = list(ir_measures.read_trec_qrels(str(folder / "trec" / "qrels.txt")))
    found = report(RunDirectory(folder))
    for name, scores in found.rankers.items():
        lines = list(ir_measures.read_trec_run(str(folder / "trec" / f"{name}.run")))
        measures = [ir_measures.nDCG @ 10, ir_measures.Success @ 5, ir_measures.RR]
        theirs = ir_measures.calc_aggregate(measures, qrels, lines)
        for measure, metric in zip(measures, ("ndcg@10", "hr@5", "mrr"), strict=True):
            assert theirs[measure] == pytest.approx(scores[metric]["mean"], abs=1e-4)


def test_an_id_with_blanks_stays_one_word():
    assert encoded("a b\tc\n%") == "a%20b%09c%0A%25"
    assert encoded("böse/键") == "böse/键"


HOSTILE = '</script><script>alert("x")</script><img src=x onerror=alert(1)>'


class Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen, self.attributes, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data):
        self.text.append(data)


def test_titles_are_hostile_and_stay_text(tmp_path):
    items = [Item(item_id=f"<i{n}>", title=f"{n} {HOSTILE} {{{{ 7 * 7 }}}}") for n in range(12)]
    rows = [Interaction(f"<b>u{u}", f"<i{(u + n) % 12}>", None, n) for u in range(6) for n in range(4)]
    write_two_file(Dataset.from_rows(items, rows, name="<shop>", domain="shopping"), tmp_path / "x")
    evaluate(plan(str(tmp_path / "x")), out=tmp_path / "run")
    text = (tmp_path / "run" / "report.html").read_text()
    tags = Tags()
    tags.feed(text)
    assert tags.seen.count("script") == 1
    assert "img" not in tags.seen
    assert "b" not in [tag for tag in tags.seen if tag == "b" and "<b>u" in text]
    assert not [name for name in tags.attributes if name.startswith("on")]
    assert any(HOSTILE in part for part in tags.text), "the title is shown as it is"
    assert "49" not in re.findall(r"\{\{ (.*?) \}\}", text)


def test_the_page_needs_nothing_from_elsewhere(folder):
    text = (folder / "report.html").read_text()
    assert not re.findall(r"(?:src|href)=[\"']?(?!#)", text)
    assert "http" not in text
    assert "@import" not in text
    assert "prefers-color-scheme: dark" in text
    for shown in ("Hit rate over the cut", "against popularity", "users one by one", "Prompt of the history"):
        assert shown in text
    assert text.count("<svg") == text.count("</svg>") == len(report(RunDirectory(folder)).more["curves"])


def test_a_page_of_several_exams_has_an_overview_and_a_cold_start_curve(data, tmp_path):
    sheets = []
    for shown in (1, 3):
        evaluate(plan(data, users=20, history=shown), out=tmp_path / str(shown))
        run = RunDirectory(tmp_path / str(shown))
        sheets.append((report(run), [run]))
    text = page("Two", sheets)
    assert 'href="#exam-2"' in text
    assert "Cold start" in text


def test_two_runs_of_one_exam_are_one_table_by_what_they_differ_in(data, tmp_path):
    for model in ("fake:overlap", "fake:random"):
        evaluate(plan(data, model=model, rankers=("likelihood",)), out=tmp_path / model[5:])
    runs = [RunDirectory(tmp_path / name) for name in ("overlap", "random")]
    assert set(summarise(runs).rankers) == {"likelihood · fake:overlap", "likelihood · fake:random"}
    with pytest.raises(DataError, match="same model"):
        summarise([runs[0], runs[0]])
    evaluate(plan(data, users=7), out=tmp_path / "other")
    with pytest.raises(DataError, match="2 exams"):
        summarise([runs[0], RunDirectory(tmp_path / "other")])


def test_compare_says_which_differences_are_real(data, folder, tmp_path):
    oracle = f"fake:oracle:{data}"
    evaluate(plan(data, users=None, candidates=10, model=oracle), out=tmp_path / "b")
    found = compare_folders(folder, tmp_path / "b")
    calls = {(t["ranker"], t["metric"]): t["call"] for t in found["tests"]}
    assert calls["popularity", "ndcg@10"] == "too close to call"
    assert calls["likelihood", "ndcg@10"] == "worse"
    assert {t["users"] for t in found["tests"]} == {60}
    reverse = compare_folders(tmp_path / "b", folder)
    assert [t["difference"] for t in reverse["tests"]] == [-t["difference"] for t in found["tests"]]
    evaluate(plan(data, users=None, candidates=9), out=tmp_path / "c")
    with pytest.raises(DataError, match="different exams"):
        compare_folders(folder, tmp_path / "c")
    evaluate(plan(data, users=None, candidates=10, rankers=("bm25",)), out=tmp_path / "d")
    with pytest.raises(DataError, match="no ranker in common"):
        compare_folders(folder, tmp_path / "d")


def test_what_only_one_side_has_is_named(data, folder, tmp_path):
    evaluate(plan(data, users=None, candidates=10, rankers=("random", "bm25")), out=tmp_path / "b")
    found = compare_folders(folder, tmp_path / "b")
    assert {t["ranker"] for t in found["tests"]} == {"random"}
    assert [name.split(" ")[0] for name in found["only_a"]] == ["popularity", "likelihood"]
    assert [name.split(" ")[0] for name in found["only_b"]] == ["bm25"]


def synthetic(folder, names, value):
    """A run by many rankers; the first has the value of each user, the others have nothing."""
    facts = {"data": "x", "negatives": "uniform", "protocol": "leave-last-out", "seed": 0, "exam": "e"}
    run = RunDirectory.start(folder, {**facts, "rankers": names}, resume=False)
    for user in range(20):
        for name in names:
            metrics = dict.fromkeys(METRICS, value if name == names[0] else 0.0)
            row = {"user": f"u{user}", "ranker": name, "history": 1, "candidates": 9, "target": "i"}
            run.append(row | {"ids": ["i"], "target_rank": 1, "metrics": metrics, "events": {}, "tokens": 0,
                              "seconds": 0.0})  # fmt: skip
    return folder


def test_among_many_comparisons_a_clear_one_is_found(tmp_path):
    names = [f"r{n}" for n in range(260)]
    found = compare_folders(synthetic(tmp_path / "a", names, 1.0), synthetic(tmp_path / "b", names, 0.0))
    assert len(found["tests"]) == 520
    assert {t["ranker"] for t in found["tests"] if t["call"] == "better"} == {"r0"}


def test_exams_that_ask_the_same_are_compared_apart(data, tmp_path):
    protocols = ["leave-last-out", "cold-domain", {"protocol": "leave-last-out", "history": [5, 9]}]
    content = {"data": data, "users": 8, "candidates": 6, "rankers": ["random", "bm25"]}
    for name in ("a", "b"):
        run_suite(Suite.parse({"name": name, **content, "protocols": protocols}), out=tmp_path / name)
    found = compare_folders(tmp_path / "a", tmp_path / "b")
    exams = dict.fromkeys(t["exam"] for t in found["tests"])
    assert list(exams) == [
        "shop, leave-last-out, uniform",
        "shop, cold-domain, uniform",
        "shop, leave-last-out, uniform, history 5",
        "shop, leave-last-out, uniform, history 9",
    ]
    assert len(found["tests"]) == 4 * 2 * 2
    assert (found["only_a"], found["only_b"]) == ([], [])


def test_a_report_is_written_again_from_the_folder_alone(folder):
    before = {name: (folder / name).read_bytes() for name in FILES}
    for name in FILES:
        (folder / name).unlink()
    write_report(RunDirectory(folder))
    assert {name: (folder / name).read_bytes() for name in FILES} == before


def test_a_run_that_was_stopped_says_how_far_it_came(folder, tmp_path):
    """Who was not asked yet has refused nothing."""
    stopped = tmp_path / "run"
    shutil.copytree(folder, stopped)
    lines = (folder / "rows.jsonl").read_bytes().splitlines(keepends=True)
    (stopped / "rows.jsonl").write_bytes(b"".join(lines[: 3 * 4 + 2]))
    found = write_report(RunDirectory(stopped))
    asked = {"random": 5, "popularity": 5, "likelihood": 4}
    assert found.as_dict()["unfinished"] == {"users": 60, "asked": asked}
    for name in ("report.md", "report.html"):
        text = (stopped / name).read_text()
        assert "5 users of 60 so far: not finished" in text
        assert "asked for 4 of 60 so far" in text
        assert "answered 4" not in text
    assert "unfinished" not in json.loads((folder / "report.json").read_text())


def test_rows_without_the_newer_fields_still_make_a_report(folder, tmp_path):
    """Runs of an older version hold neither places nor the catalogue."""
    old = RunDirectory(tmp_path)
    (tmp_path / "manifest.json").write_text((folder / "manifest.json").read_text())
    for row in RunDirectory(folder).rows():
        old.append({key: value for key, value in row.items() if key not in ("place", "candidates")})
    found = write_report(old)
    assert found.rankers == report(RunDirectory(folder)).rankers
    assert set(found.more["curves"]) == {"cut"}
