"""Reports handed to MLflow or TensorBoard, for those who keep their experiments there."""

import contextlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from llmrec_prompt.errors import MissingExtra, UnknownName
from llmrec_prompt.evaluate.reports.sheet import Report
from llmrec_prompt.evaluate.reports.text import title

EXPERIMENT = "llmrec-prompt"
FORBIDDEN = re.compile(r"[^/\w.\- :]")
"""What MLflow takes in no name."""


def check_trackers(names: Sequence[str]) -> None:
    """Refuse a tracker that is unknown or not installed, before anything runs.

    Raises:
        UnknownName: there is no such tracker.
        MissingExtra: it is not installed.
    """
    for name in names:
        if name not in TRACKERS:
            raise UnknownName("tracker", name, TRACKERS)
        if importlib.util.find_spec(name) is None:
            raise MissingExtra(f"The tracker {name}", "trackers")


def log_reports(names: Sequence[str], reports: Sequence[Report], folder: Path) -> None:
    """Log the numbers of every report to every tracker named, and no page that shows users.

    What trackers print goes to stderr: stdout belongs to what was asked for.

    Args:
        names: `mlflow` (to `$MLFLOW_TRACKING_URI`, or its default store), `tensorboard` (to
            FOLDER/tensorboard).
        reports: one for each exam.
        folder: of the run.

    Raises:
        UnknownName: there is no such tracker.
        MissingExtra: it is not installed.
    """
    check_trackers(names)
    with contextlib.redirect_stdout(sys.stderr):
        for name in names:
            TRACKERS[name](reports, folder)


def scalars(report: Report) -> Iterator[tuple[str, float]]:
    """Names and values: `RANKER/METRIC`, with the letters that trackers allow.

    `hr@10` is `hr_at_10`, and `bm25+popularity` is `bm25_popularity`.
    """
    for ranker, scores in report.rankers.items():
        for metric, value in scores.items():
            for part in ("mean", "low", "high"):
                end = "" if part == "mean" else f"_{part}"
                yield f"{allowed(ranker)}/{allowed(metric)}{end}", value[part]


def allowed(name: str) -> str:
    """A name in the letters that MLflow allows.

    >>> allowed("encoder+sasrec · me/cups@2"), allowed("hr@10")
    ('encoder_sasrec me/cups_at_2', 'hr_at_10')
    """
    return FORBIDDEN.sub("_", name.replace(" · ", " ").replace("@", "_at_"))


def _mlflow(reports: Sequence[Report], folder: Path) -> None:
    import mlflow

    mlflow.set_experiment(EXPERIMENT)
    for report in reports:
        with mlflow.start_run(run_name=title(report)):
            mlflow.log_params({key: str(value) for key, value in report.facts.items()})
            mlflow.log_metrics(dict(scalars(report)))


def _tensorboard(reports: Sequence[Report], folder: Path) -> None:
    from tensorboard.summary import Writer

    for report in reports:
        writer = Writer(str(folder / "tensorboard" / report.facts["name"]))
        for tag, value in scalars(report):
            writer.add_scalar(tag, value, 0)
        writer.close()


TRACKERS: dict[str, Callable[[Sequence[Report], Path], None]] = {
    "mlflow": _mlflow,
    "tensorboard": _tensorboard,
}
