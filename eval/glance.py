"""What to expect, on one screen: the README's tables and picture, out of the result pages.

    python eval/glance.py --picture docs/glance.svg

Nothing is measured here: docs/results-adaptation.md, docs/results-transfer.md and eval/results.py name the
commands.
"""

import argparse
import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
NEGATIVES = ("uniform", "popular")
SETS = {
    "movies": ("results-adaptation.md", "movielens-small", "encoder"),
    "shopping": ("results-adaptation.md", "online-retail", "encoder"),
    "games": ("results-adaptation.md", "ifdb", "encoder"),
    "books, users unseen by any adapter": ("results-transfer.md", "shakespeare-co", "fused"),
}
"""Row → page, data set, and what `auto` is under its adapter: the encoder where trained, else fused."""
RANKERS = {
    "guessing": "random",
    "popularity": "popularity",
    "MiniLM": "embedding",
    "SASRec": "sasrec",
    "no adapter": "fused, zero-shot",
    "adapter": "",
    "adapter, `stacked`": "stacked",
}
"""Column → the ranker's name on the page; the adapter's depends on the row."""
NO_LOGS = {
    "movies": "movielens-small",
    "shopping": "online-retail",
    "games": "ifdb",
    "books": "shakespeare-co",
    "news, in German": "nemig-de",
    "restaurants": "restaurants-mx",
    "posts on quantum computing": "se-quantum",
}
"""Row of the table without logs → data set."""
TEXT = {
    "guessing": "random",
    "BM25": "bm25",
    "MiniLM": "embedding",
    "SmolLM2 alone": "likelihood",
    "`auto`": "fused",
    "`auto`, general adapter": "fused · smollm2-general",
}
"""Column of that table → ranker."""
BAR = 0.11
"""Width of a bar where groups are one apart."""
Cell = tuple[float, float, float]
"""NDCG@10 and its 95 % interval."""


def cells(page: str, heading: str) -> dict[str, Cell]:
    """Ranker → NDCG@10 of the table under a heading of a page."""
    text = (DOCS / page).read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(r"^\| ([^|]+?) \|(?: [\d.]+ \|){3} ([\d.]+) \(([\d.]+)-([\d.]+)\)", text, re.MULTILINE)
    return {name: (float(mean), float(low), float(high)) for name, mean, low, high in found}


def read() -> dict[str, dict[str, dict[str, Cell]]]:
    """Row → negatives → column → cell; a column that a page does not have is left out."""
    out: dict[str, dict[str, dict[str, Cell]]] = {}
    for row, (page, data, adapted) in SETS.items():
        for kind in NEGATIVES:
            there = cells(page, f"{data}, {kind} negatives")
            names = {column: ranker or adapted for column, ranker in RANKERS.items()}
            out.setdefault(row, {})[kind] = {c: there[n] for c, n in names.items() if n in there}
    return out


def table(found: dict[str, dict[str, dict[str, Cell]]]) -> str:
    """Markdown: uniform and popular negatives in one cell, the best of each in bold."""
    lines = [f"| NDCG@10 | {' | '.join(RANKERS)} |", "|---|" + "---|" * len(RANKERS)]
    for row, kinds in found.items():
        best = {kind: max(kinds[kind].values()) for kind in NEGATIVES}
        both = []
        for column in RANKERS:
            values = [(kinds[kind].get(column), best[kind]) for kind in NEGATIVES]
            both.append(" / ".join(_shown(value, top) for value, top in values) if values[0][0] else "–")
        lines.append(f"| {row} | {' | '.join(both)} |")
    return "\n".join(lines)


def without_logs() -> str:
    """Markdown: the section `cold-domain` of docs/results.md at a glance, the best of a row in bold."""
    section = (DOCS / "results.md").read_text(encoding="utf-8").split("\n## cold-domain\n")[1]
    names, _, *exams = [row.strip("| \n").split(" | ") for row in section.split("\n\n")[1].splitlines()]
    of = {exam[0].split(":")[0]: dict(zip(names, exam, strict=True)) for exam in exams}
    lines = [f"| NDCG@10 | {' | '.join(TEXT)} |", "|---|" + "---|" * len(TEXT)]
    for row, data in NO_LOGS.items():
        found = {column: of[data][ranker].strip("*") for column, ranker in TEXT.items()}
        best = max(number for number in found.values() if number != "–")
        lines.append(f"| {row} | {' | '.join(_short(found[c], best) for c in TEXT)} |")
    return "\n".join(lines)


def _short(number: str, best: str) -> str:
    return f"**{number.lstrip('0')}**" if number == best else number.lstrip("0")


def _shown(value: Cell | None, best: Cell) -> str:
    number = f"{value[0]:.3f}".lstrip("0") if value else "–"
    return f"**{number}**" if value == best else number


def draw(found: dict[str, dict[str, dict[str, Cell]]], path: Path) -> None:
    """A panel for each kind of negatives, a group of bars for each row, with 95 % intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.4), layout="constrained")
    panels = figure.subplots(1, len(NEGATIVES), sharey=True)
    shades = ("0.85", "0.65", "#9ecae1", "#fdae6b", "#a1d99b", "#41ab5d", "#00441b")
    colours = dict(zip(RANKERS, shades, strict=True))
    for kind, axes in zip(NEGATIVES, panels, strict=True):
        for place, column in enumerate(RANKERS):
            there = [
                (i, kinds[kind][column]) for i, kinds in enumerate(found.values()) if column in kinds[kind]
            ]
            where = [i + (place - len(RANKERS) / 2 + 0.5) * BAR for i, _ in there]
            bars = [[c[0] - c[1] for _, c in there], [c[2] - c[0] for _, c in there]]
            heights = [c[0] for _, c in there]
            look = {"color": colours[column], "label": column.replace("`", "")}
            axes.bar(where, heights, BAR, yerr=bars, error_kw={"lw": 0.7}, **look)
        axes.set(title=f"{kind} negatives")
        axes.set_xticks(range(len(found)), [row.split(",")[0] for row in found])
    panels[0].set_ylabel("NDCG@10")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize="small")
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--picture", type=Path, help="where to draw it (extra train)")
    given = parser.parse_args()
    print(table(read()), without_logs(), sep="\n\n")
    if given.picture:
        draw(read(), given.picture)
