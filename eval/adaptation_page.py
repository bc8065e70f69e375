"""The page that adaptation.py writes: a table for each data set and kind of negatives."""

import argparse
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from llmrec_prompt.evaluate.statistics import bootstrap_interval, paired_test
from llmrec_prompt.rank.encoder import weight_of

Values = dict[str, dict[str, dict[str, float]]]
"""Ranker → user → metric → value."""
METRICS = ("hr@1", "hr@5", "hr@10", "ndcg@10", "mrr")
TITLES = {
    "results-transfer.md": "Results where no adapter was trained",
    "results-together.md": "Results of adapter and SASRec together",
}
"""Of pages; others are "Results with adapters"."""
HEAD = """# {title}

Every table names the command that rewrites it and its twin with the other negatives.

The last liked item of each user is hidden among 19 others: `uniform` negatives are drawn evenly
from what the user has not consumed, `popular` ones by popularity. No adapter was trained on a tested user
(each adapter's `users.txt` is checked), and users named by `--leave-out`, who helped choose how we score, are
not tested. `encoder` is SmolLM2-135M under the adapter: the states after the
history and after each of its items against the state after the candidate, plus log popularity with the
weight that the card says for these negatives (chosen on validation users). Where the adapter was never
trained, and without one, it only compares centred states of the history's items with the candidate's.
`fused` adds MiniLM and co-occurrence to it (and popularity, where it has none of its own); `stacked` is that
with weights learnt from some forty users of these logs whom the adapter has not learnt from, none of the
hidden items among what they liked. Rows with `untrained` or `zero-shot` are the same model without an
adapter. `item-knn`, `sasrec` and `lstm` are fitted on the very users that the adapter was trained on;
`co-occurrence` and `popularity` on all logs but the hidden items. `encoder + sasrec` is the fusion of these
two in equal shares, which nobody tuned.
Where a table asks for several items of each user, they are the last ones, each asked for after what came
before it, with later ones held out too; a user counts with their mean.
Means over users, with 95 % bootstrap intervals; p is from a paired randomisation test against the row that
its column names. Sampled metrics compare rankers on the same candidates, not over the whole catalogue.
"""


def head(page: str) -> str:
    """What a page of that name says before its tables."""
    return HEAD.format(title=TITLES.get(page, "Results with adapters"))


def title(given: argparse.Namespace, name: str, negatives: str) -> str:
    """Of a table."""
    several = f", {given.questions} items a user" if given.questions > 1 else ""
    return f"{name}, {negatives} negatives{several}"


def command(given: argparse.Namespace, name: str) -> str:
    """What writes the tables of one set anew."""
    found = "bf16" if given.backend.info.hash.endswith("-bfloat16") else ""  # a GPU's own choice
    precision = os.environ.get("LLMREC_PRECISION") or found
    parts = [f"LLMREC_PRECISION={precision}"] if precision else []
    parts += ["python eval/adaptation.py --sets", name, "--users", str(given.users), "--model", given.model]
    parts += ["--questions", str(given.questions)] if given.questions > 1 else []
    parts += ["--leave-out", given.leave_out] if given.leave_out else []
    parts += ["--without", *given.without] if given.without else []
    parts += ["--against", f'"{given.against}"'] if given.against != "encoder" else []
    return " ".join([*parts, "--out", str(given.out)])


def merged(found: list[Values]) -> Values:
    """Each user's mean over the items asked for; who has too few likes has fewer.

    A ranker that was asked about some of the items alone (the last ones, for another table) is left out.
    """
    return {
        ranker: {
            user: means([each[ranker][user] for each in found if user in each[ranker]]) for user in users
        }
        for ranker, users in found[0].items()
        if all(ranker in each for each in found)
    }


def means(rows: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each metric."""
    return {metric: float(np.mean([row[metric] for row in rows])) for metric in METRICS}


def rows(table: Any, values: Values, users: list[str]) -> Iterator[str]:
    """A table of adaptation.py, the best first, with a test of every row."""
    per_user = {n: np.array([v[u]["ndcg@10"] for u in users]) for n, v in values.items()}
    card = table.adapter.card
    yield f"## {title(table.given, table.name, table.negatives)}"
    yield ""
    domain = table.exam.train.domain
    weight = weight_of(card, table.negatives, None, domain)
    seen = f"popularity weight {weight:g}" if domain in card.templates else "never trained here"
    yield f"{len(users)} users, adapter `{card.name}`, {seen}; by `{command(table.given, table.name)}`."
    yield ""
    yield f"| ranker | {' | '.join(METRICS)} | {table.given.against} minus row (p) |"
    yield "|---|" + "---|" * (len(METRICS) + 1)
    for name in sorted(per_user, key=lambda n: -per_user[n].mean()):
        cells = [f"{np.mean([values[name][u][m] for u in users]):.3f}" for m in METRICS]
        interval = bootstrap_interval(per_user[name], seed=0)
        cells[3] += f" ({interval.low:.3f}-{interval.high:.3f})"
        best = per_user[table.given.against]
        gap = (best - per_user[name]).mean()
        test = "" if name == table.given.against else f"{gap:+.3f} ({paired_test(best, per_user[name]):.4f})"
        yield f"| {name} | {' | '.join(cells)} | {test} |"
