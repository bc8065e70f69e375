import importlib.util

import pytest

from llmrec_prompt.errors import MissingExtra, UnknownName
from llmrec_prompt.evaluate import evaluate
from llmrec_prompt.evaluate.trackers import TRACKERS, check_trackers, log_reports, scalars

from .shops import plan, shop


@pytest.fixture
def report(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path / "cache"))
    data = shop(tmp_path / "shop")
    return evaluate(plan(data, rankers=("random", "popularity")), out=tmp_path / "run")


def importable(name):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed; pip install 'llmrec-prompt[trackers]'")


def test_names_of_numbers_are_what_trackers_allow(report):
    found = dict(scalars(report))
    assert found["random/ndcg_at_10"] == report.rankers["random"]["ndcg@10"]["mean"]
    assert found["popularity/hr_at_1_low"] == report.rankers["popularity"]["hr@1"]["low"]
    assert len(found) == 2 * 5 * 3


def test_an_unknown_or_missing_tracker_is_said_at_once():
    with pytest.raises(UnknownName, match="mlflow"):
        check_trackers(["mlfow"])
    for name in TRACKERS:
        if importlib.util.find_spec(name) is None:
            with pytest.raises(MissingExtra, match=r"llmrec-prompt\[trackers\]"):
                check_trackers([name])


@pytest.mark.filterwarnings("ignore")
def test_mlflow_keeps_metrics_and_the_page(report, tmp_path, monkeypatch):
    importable("mlflow")
    import mlflow

    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    log_reports(["mlflow"], [report], tmp_path / "run")
    [run] = mlflow.search_runs(experiment_names=["llmrec-prompt"], output_format="list")
    assert run.data.metrics["random/ndcg_at_10"] == report.rankers["random"]["ndcg@10"]["mean"]
    assert run.data.params["data"] == "shop"
    assert [f.path for f in mlflow.MlflowClient().list_artifacts(run.info.run_id)] == ["report.html"]


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_keeps_metrics(report, tmp_path):
    importable("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log_reports(["tensorboard"], [report], tmp_path / "run")
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard" / report.facts["name"]))
    events.Reload()
    tags = events.Tags()
    assert "random/ndcg_at_10" in [*tags["scalars"], *tags["tensors"]]
