"""NDCG@10 over shots, as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmrec_prompt.errors import MissingExtra

METRIC = "ndcg@10"
WIDTH = 0.5
"""Of a column's room, how much the methods are spread over, so that intervals do not hide each other."""


def plot_shots(report: Mapping[str, Any], path: Path) -> Path:
    """Draw a panel for each kind of negatives, a line with 95 % intervals for each method.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib import colormaps
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("A picture of the comparison", "train") from error
    kinds, shots = list(report["results"]), list(report["shots"])
    names = list(dict.fromkeys(name for kind in kinds for name in report["results"][kind]))
    colours = {name: colormaps["tab20"](place) for place, name in enumerate(names)}
    figure = Figure(figsize=(1 + 5 * len(kinds), 4.5), layout="constrained")
    panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for kind, axes in zip(kinds, panels, strict=True):
        for place, name in enumerate(names):
            shift = WIDTH * (place / max(1, len(names) - 1) - 0.5)
            _draw(axes, report["results"][kind].get(name, {}), shots, shift, (name, colours[name]))
        axes.axhline(report["chance"][METRIC], color="0.7", linewidth=1, zorder=0)
        axes.set(title=f"{report['data']}, {kind} negatives", xlabel="users to learn from")
        axes.set_xticks(range(len(shots)), [_tick(n, report["shots"][n]) for n in shots])
    panels[0].set_ylabel("NDCG@10")
    lines, labels = panels[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside right center", fontsize="small")
    figure.savefig(path, metadata={"Date": None})
    return path


def _draw(
    axes: Any, cells: Mapping[str, Any], shots: Sequence[str], shift: float, look: tuple[str, Any]
) -> None:
    """One method: points at the shots it was fitted on, joined; dotted where shots change nothing."""
    places = [i for i, n in enumerate(shots) if n in cells]
    values = [cells[shots[i]][METRIC] for i in places]
    flat = len(values) > 1 and all(value == values[0] for value in values)
    bars = [[v["mean"] - v["low"] for v in values], [v["high"] - v["mean"] for v in values]]
    axes.errorbar(
        [place + shift for place in places],
        [value["mean"] for value in values],
        yerr=bars,
        label=look[0],
        color=look[1],
        marker="o",
        markersize=3,
        linewidth=1.2,
        elinewidth=0.8,
        linestyle=":" if flat else "-",
    )


def _tick(shots: str, size: Mapping[str, int]) -> str:
    return f"all\n({size['users']})" if shots == "all" else shots
