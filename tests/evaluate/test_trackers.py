import contextlib
import importlib.machinery
import importlib.util
import re
import sys

import pytest

from llmrec_prompt.errors import MissingExtra, UnknownName
from llmrec_prompt.evaluate import evaluate
from llmrec_prompt.evaluate.trackers import TRACKERS, check_trackers, log_reports, scalars

from .shops import plan, shop


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path / "cache"))
    return shop(tmp_path / "shop")


@pytest.fixture
def report(data, tmp_path):
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


class FakeMlflow:
    """Keeps what it is told, takes the names that MLflow takes, and prints as MLflow does."""

    def __init__(self):
        self.params, self.metrics = {}, {}

    def set_experiment(self, name):
        pass

    @contextlib.contextmanager
    def start_run(self, run_name):
        yield
        sys.stdout.write("View run at https://...")

    def log_params(self, params):
        self.params |= params

    def log_metrics(self, metrics):
        assert all(re.fullmatch(r"[/\w.\- :]*", name) for name in metrics), metrics
        self.metrics |= metrics


def test_mlflow_gets_numbers_and_no_page_of_users(data, tmp_path, monkeypatch, capsys):
    """The stand-in has no way to take a file."""
    found = evaluate(plan(data, rankers=("random", "bm25+popularity")), out=tmp_path / "run")
    fake = FakeMlflow()
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    fake.__spec__ = importlib.machinery.ModuleSpec("mlflow", None)
    log_reports(["mlflow"], [found], tmp_path / "run")
    ndcg = found.rankers["bm25+popularity"]["ndcg@10"]["mean"]
    assert fake.metrics["bm25_popularity/ndcg_at_10"] == ndcg
    assert fake.params["data"] == "shop"
    told = capsys.readouterr()
    assert (told.out, "View run" in told.err) == ("", True)


@pytest.mark.filterwarnings("ignore")
def test_mlflow_keeps_metrics(report, tmp_path, monkeypatch):
    importable("mlflow")
    import mlflow

    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    log_reports(["mlflow"], [report], tmp_path / "run")
    [run] = mlflow.search_runs(experiment_names=["llmrec-prompt"], output_format="list")
    assert run.data.metrics["random/ndcg_at_10"] == report.rankers["random"]["ndcg@10"]["mean"]
    assert run.data.params["data"] == "shop"
    assert not mlflow.MlflowClient().list_artifacts(run.info.run_id)


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_keeps_metrics(report, tmp_path):
    importable("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log_reports(["tensorboard"], [report], tmp_path / "run")
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard" / report.facts["name"]))
    events.Reload()
    tags = events.Tags()
    assert "random/ndcg_at_10" in [*tags["scalars"], *tags["tensors"]]
