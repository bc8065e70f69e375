"""From a chart's numbers to places on paper: lines, ticks and labels that a template draws as SVG."""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Any

WIDTH, HEIGHT = 460, 268
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 12, 54
COLOURS = 8
"""Lines with a colour of their own; the others are grey until they are pointed at."""
LABELS = 9
"""No more labels along x than these."""

Drawing = dict[str, Any]


def colours(order: Sequence[str], baseline: str | None) -> dict[str, int]:
    """A colour, from 1, for the best rankers and the baseline; 0 is grey. The same in every chart of a table.

    >>> colours(["a", "b"], "b")
    {'a': 1, 'b': 2}
    """
    first = list(order[:COLOURS])
    if baseline in order and baseline not in first:
        first[-1] = str(baseline)
    return {name: first.index(name) + 1 if name in first else 0 for name in order}


def draw(chart: Mapping[str, Any], colour: Mapping[str, int]) -> Drawing:
    """Where everything of a line chart goes, in the units of its view box.

    Args:
        chart: see `curves.Chart`.
        colour: number of each ranker's colour.
    """
    top = ceiling([v for line in [*chart["series"].values(), chart["chance"]] for v in line if v is not None])
    xs = [_across(i, len(chart["at"])) for i in range(len(chart["at"]))]
    grey_first = sorted(chart["series"], key=lambda name: colour.get(name, 0) > 0)
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "floor": HEIGHT - BOTTOM,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "ticks": [{"y": _up(top * i / 4, top), "label": f"{top * i / 4:.2f}"} for i in range(5)],
        "labels": list(_labels(chart, xs)),
        "lines": [_line(name, chart, xs, top, colour.get(name, 0)) for name in grey_first],
        "chance": _joined(_points(chart["chance"], xs, top)),
        **{key: chart[key] for key in ("title", "x", "y")},
    }


def ceiling(values: Sequence[float]) -> float:
    """A round number that no value passes.

    >>> ceiling([0.31, 0.42]), ceiling([0.97]), ceiling([])
    (0.6, 1.0, 0.2)
    """
    return max(0.2, ceil(max(values, default=0.0) * 5) / 5)


def _labels(chart: Mapping[str, Any], xs: Sequence[float]) -> Iterator[Drawing]:
    """Some of the labels along x; how many users are in a group where groups differ."""
    step = ceil(len(xs) / LABELS)
    same = len(set(chart["users"])) == 1
    for i, (x, text, users) in enumerate(zip(xs, chart["at"], chart["users"], strict=True)):
        # Cuts are wanted at round numbers, and at 1.
        if step == 1 or i == 0 or (i + 1) % (step + step % 2 + 1) == 0:
            yield {"x": x, "text": text, "users": "" if same else f"n={users}"}


def _line(name: str, chart: Mapping[str, Any], xs: Sequence[float], top: float, colour: int) -> Drawing:
    points = _points(chart["series"][name], xs, top)
    values = [v for v in chart["series"][name] if v is not None]
    at = [text for text, v in zip(chart["at"], chart["series"][name], strict=True) if v is not None]
    dots = [
        {"x": x, "y": y, "text": f"{name}, {text}: {v:.3f}"}
        for (x, y), v, text in zip(points, values, at, strict=True)
    ]
    return {"name": name, "colour": colour, "points": _joined(points), "dots": dots}


def _points(values: Sequence[float | None], xs: Sequence[float], top: float) -> list[tuple[float, float]]:
    return [(x, _up(v, top)) for x, v in zip(xs, values, strict=True) if v is not None]


def _joined(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def _across(i: int, count: int) -> float:
    """Groups stand away from the edges, so that their labels fit."""
    room = WIDTH - LEFT - RIGHT
    return round(LEFT + room * (i + 0.5) / count, 1)


def _up(value: float, top: float) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top, 1)
