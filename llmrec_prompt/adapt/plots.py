"""Loss and metric over the steps of a training, as a picture."""

from pathlib import Path
from typing import Any

from llmrec_prompt.errors import MissingExtra


def plot_curves(log: list[dict[str, Any]], path: Path, *, title: str) -> Path:
    """Draw loss (left axis) and validation metrics (right axis) over the steps.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("A picture of the training", "train") from error
    figure = Figure(figsize=(7, 4), layout="constrained")
    left = figure.add_subplot()
    right = left.twinx()
    steps, losses = _series(log, "loss")
    left.plot(steps, losses, color="0.5", label="loss")
    for name in sorted({key for row in log for key in row if key.startswith("eval_ndcg")}):
        steps, values = _series(log, name)
        right.plot(steps, values, marker="o", markersize=3, label=name.removeprefix("eval_"))
    left.set(xlabel="step", ylabel="loss (nats)", title=title)
    right.set(ylabel="validation NDCG@10")
    lines = [line for axes in (left, right) for line in axes.get_lines()]
    right.legend(lines, [str(line.get_label()) for line in lines], loc="center right", fontsize="small")
    figure.savefig(path, metadata={"Date": None})
    return path


def _series(log: list[dict[str, Any]], name: str) -> tuple[list[int], list[float]]:
    rows = [row for row in log if name in row]
    return [row["step"] for row in rows], [row[name] for row in rows]
