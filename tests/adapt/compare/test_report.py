import numpy as np
import pytest

from llmrec_prompt.adapt.compare.report import markdown, summarise, write_report
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.evaluate.statistics import paired_test

SIZES = {
    "0": {"users": 0, "validation": 0, "interactions": 0},
    "all": {"users": 50, "validation": 12, "interactions": 400},
}
MANIFEST = {
    "name": "toy",
    "data": "films",
    "domain": "movies",
    "model": "fake:x",
    "model_hash": "ab",
    "adapters": {},
    "test": 40,
    "candidates": 20,
    "seed": 0,
    "negatives": ["uniform"],
    "methods": ["base", "target-only", "source+target", "embedding"],
}


def row(method, shots, mean, seed):
    values = np.clip(np.random.default_rng(seed).normal(mean, 0.1, 40), 0, 1).round(6).tolist()
    values = {"ndcg@10": values, "hr@10": [float(v > 0.5) for v in values]}
    return {"draw": 0, "method": method, "shots": shots, "negatives": "uniform", "values": values} | {
        "facts": {"adapter": method},
        "events": {},
        "seconds": 1.0,
    }


ROWS = [
    row("source+target", "all", 0.8, 1),
    row("target-only", "all", 0.5, 2),
    row("embedding", "any", 0.6, 3),
    row("base", "any", 0.3, 4),
]


def test_rows_become_cells_with_intervals():
    report = summarise(ROWS, MANIFEST, SIZES)
    results = report["results"]["uniform"]
    assert list(results) == ["base", "target-only", "source+target", "embedding"]
    assert set(results["source+target"]) == {"all"}
    assert results["base"]["0"] == results["base"]["all"]
    cell = results["source+target"]["all"]["ndcg@10"]
    assert cell["low"] < cell["mean"] < cell["high"]
    assert cell["mean"] == pytest.approx(np.mean(ROWS[0]["values"]["ndcg@10"]), abs=1e-4)
    assert report["chance"]["hr@10"] == 0.5


def test_the_tests_pair_the_users_of_what_is_there():
    tests = summarise(ROWS, MANIFEST, SIZES)["tests"]
    assert [(t["shots"], t["than"]) for t in tests] == [("all", "target-only"), ("all", "embedding")]
    ours, theirs = (ROWS[i]["values"]["ndcg@10"] for i in (0, 1))
    assert tests[0]["difference"] == pytest.approx(np.mean(ours) - np.mean(theirs), abs=1e-4)
    assert tests[0]["p"] == pytest.approx(paired_test(ours, theirs, seed=0), abs=1e-5)


def test_what_shots_added_to_the_source_is_tested_apart():
    manifest = {**MANIFEST, "methods": ["source-only", "source+target", "predictive", "target-only"]}
    every = [row("source-only", shots, 0.5, 7) for shots in ("0", "all")]
    every += [
        row("source+target", "all", 0.8, 1),
        row("predictive", "all", 0.5, 8),
        row("target-only", "all", 0.5, 2),
    ]
    report = summarise(every, manifest, SIZES)
    assert [t["method"] for t in report["gains"]] == ["source+target", "predictive"]
    assert {(t["than"], t["shots"]) for t in report["gains"]} == {("source-only", "all")}
    ours, theirs = (every[i]["values"]["ndcg@10"] for i in (2, 1))
    assert report["gains"][0]["p"] == pytest.approx(paired_test(ours, theirs, seed=0), abs=1e-5)
    assert report["gains"][0]["p_holm"] < 0.05 < report["gains"][1]["p_holm"]
    assert [t["than"] for t in report["tests"]] == ["target-only"]
    assert "| uniform | all | predictive |" in markdown(report)


def test_several_draws_count_with_each_users_mean_over_them():
    second = [
        {**row("source+target", "all", 0.6, 5), "draw": 1},
        {**row("target-only", "all", 0.5, 6), "draw": 1},
    ]
    report = summarise([*ROWS, *second], MANIFEST, SIZES)
    ours, theirs, again, others = (np.array(r["values"]["ndcg@10"]) for r in (ROWS[0], ROWS[1], *second))
    cell = report["results"]["uniform"]["source+target"]["all"]["ndcg@10"]
    assert cell["mean"] == pytest.approx((ours.mean() + again.mean()) / 2, abs=1e-4)
    test, flat = report["tests"]
    assert test["by_draw"] == pytest.approx([(ours - theirs).mean(), (again - others).mean()], abs=1e-4)
    assert test["p"] == pytest.approx(
        paired_test((ours + again) / 2, (theirs + others) / 2, seed=0), abs=1e-5
    )
    assert flat["than"] == "embedding"
    assert len(flat["by_draw"]) == 2  # what no shots can change is there once, against every draw
    text = markdown(report)
    assert "means over 2 draws" in text
    assert f"{test['by_draw'][0]:+.3f}, {test['by_draw'][1]:+.3f}" in text


def test_the_report_says_what_was_done_and_dashes_what_was_not():
    text = markdown(summarise(ROWS, MANIFEST, SIZES))
    assert "0 at 0, 12 at all" in text
    assert "| users | 0 | all (50) |" in text
    line = next(line for line in text.splitlines() if line.startswith("| source+target |"))
    assert line.split(" | ")[1] == "–"
    assert "chance 0.227" in text


def test_files_are_written_with_a_picture_of_every_method(tmp_path):
    pytest.importorskip("matplotlib")
    write_report(summarise(ROWS, MANIFEST, SIZES), tmp_path)
    picture = (tmp_path / "curves.svg").read_text()
    assert picture.lstrip().startswith("<?xml")
    assert all(f"<!-- {name} -->" in picture for name in MANIFEST["methods"])
    assert "curves.svg" in (tmp_path / "report.md").read_text()
    assert (tmp_path / "report.json").is_file()


def test_no_rows_are_no_report():
    with pytest.raises(ConfigError, match=r"None of the methods \(base, .*\) can do with shots 0, all"):
        summarise([], MANIFEST, SIZES)


def test_rows_of_several_versions_of_the_code_are_told():
    assert "versions of the code" not in markdown(summarise(ROWS, MANIFEST, SIZES))
    mixed = [{**row, "code": code} for row, code in zip(ROWS, "aaba", strict=True)]
    assert "Its rows were made by 2 versions of the code." in markdown(summarise(mixed, MANIFEST, SIZES))
