"""Rank under the shipped adapters and write docs/results-adaptation.md.

    python eval/adaptation.py --data ../shared/data

Leave-last-out as in eval/results.py, on users whose histories no adapter was trained on. Networks (SASRec,
LSTM, item-kNN) are fitted on the very users that the adapter was trained on. Every answer is kept under
runs/adaptation, so that a second call only does what is missing. A call renews the tables of the sets it is
given and leaves the page's others as they are.
"""

import argparse
import functools
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from results import sections

from llmrec_prompt.adapt.histories import Population
from llmrec_prompt.adapt.recipe import Source
from llmrec_prompt.adapters import Adapter, Card, find
from llmrec_prompt.cache import write_atomically
from llmrec_prompt.cli.output import progress
from llmrec_prompt.data import Dataset, leave_last_out
from llmrec_prompt.errors import MissingExtra
from llmrec_prompt.evaluate.cases import Ask, Exam, exam_of
from llmrec_prompt.evaluate.offline import check_leak
from llmrec_prompt.evaluate.run import RunDirectory
from llmrec_prompt.evaluate.runner import run_exam
from llmrec_prompt.evaluate.score_cache import ScoreStore, cached
from llmrec_prompt.evaluate.statistics import bootstrap_interval, paired_test
from llmrec_prompt.rank import Ranker
from llmrec_prompt.rank.encoder import weight_of
from llmrec_prompt.rank.scorer import ScorerRanker
from llmrec_prompt.recommender import Recommender
from llmrec_prompt.scorers import Ingredients, build_scorer
from llmrec_prompt.scorers.embedders import MiniLmEmbedder
from llmrec_prompt.scorers.embedding import EmbeddingScorer
from llmrec_prompt.templates import Prompter, load_domain

TABLES = {
    "movielens-small": "smollm2-movies",
    "online-retail": "smollm2-shopping",
    "ifdb": "smollm2-games",
    "shakespeare-co": "smollm2-general",
}
PLAIN = ("random", "popularity", "embedding", "co-occurrence")
NETWORKS = ("item-knn", "sasrec", "lstm")
Values = dict[str, dict[str, dict[str, float]]]
"""Ranker → user → metric → value."""
METRICS = ("hr@1", "hr@5", "hr@10", "ndcg@10", "mrr")
HEAD = """# Results with adapters

Every table names the command that writes it, and its twin with the other negatives, anew.

The last liked item of each user is hidden among 19 others: `uniform` negatives are drawn evenly
from what the user has not consumed, `popular` ones by popularity. No adapter was trained on a tested user
(each adapter's `users.txt` is checked), and none of the users whom `--leave-out` names, who helped to choose
how we score. `encoder` is SmolLM2-135M under the adapter: the states after the
history and after each of its items against the state after the candidate, plus log popularity with the
weight that the card says for these negatives (chosen on validation users). Where the adapter was never
trained, and without one, it is the centred states of the history's items against the candidate's alone.
`fused` adds MiniLM, co-occurrence and popularity to it. `encoder, untrained`, `likelihood, zero-shot` and
`fused, zero-shot` are the same model without an adapter. `item-knn`, `sasrec` and `lstm` are fitted on the
very users that the adapter was trained on; `co-occurrence` and `popularity` on all logs but the hidden items.
Where a table asks for several items of each user, they are the last ones, each asked for after what came
before it, with those that came after held out too, and a user counts with the mean over them.
Means over users, with 95 % bootstrap intervals; p is a paired randomisation test of `encoder` against the
row. Sampled metrics compare rankers on the same candidates, they are not quality over the whole catalogue.
"""


@dataclass(frozen=True, slots=True)
class Table:
    """One data set with one kind of negatives."""

    given: argparse.Namespace
    name: str
    negatives: str
    exam: Exam
    adapter: Adapter
    back: int = 0
    """How many likes before the last one the target is."""

    @property
    def folder(self) -> Path:
        """Where its runs are."""
        earlier = f"-back-{self.back}" if self.back else ""
        return Path("runs/adaptation") / f"{self.name}-{self.negatives}-{self.given.users}{earlier}"

    def recommender(self, adapter: str | None, **settings: object) -> Recommender:
        """On the logs without the hidden items."""
        return Recommender(
            self.exam.train,
            model=self.given.backend,
            adapter=adapter,
            task=self.negatives,
            seed=0,
            **settings,
        )

    def ranker(self, adapter: str | None, name: str) -> Ranker:
        """One with a model, whose answers are kept: suites of `llmrec eval run` may have asked the same."""
        recommender = self.recommender(adapter)
        return cached(recommender.ranker_of(name), recommender, self.given.store)


def main() -> None:
    """Run what is missing; write the page after every table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument(
        "--leave-out",
        default="",
        metavar="FROM:TO",
        help="places, in the seeded order, of users who helped to choose how we score: not in the tables",
    )
    parser.add_argument(
        "--questions", type=int, default=1, help="how many of each user's last items are asked for"
    )
    parser.add_argument("--model", default="hf:smollm2", help="the model reference that scores")
    parser.add_argument("--sets", nargs="*", default=list(TABLES))
    parser.add_argument(
        "--without",
        nargs="*",
        default=[],
        choices=list(GROUPS),
        help="rows not to compute where they are not there yet; likelihood and untrained are the slowest",
    )
    parser.add_argument("--out", type=Path, default=Path("docs/results-adaptation.md"))
    given = parser.parse_args()
    from llmrec_prompt.backends import load_backend

    given.backend, given.store = load_backend(given.model), ScoreStore()
    found = sections(given.out.read_text(encoding="utf-8")) if given.out.exists() else {}
    for name in given.sets:
        if not (given.data / name).is_dir():
            sys.exit(f"{given.data / name} is not there. Say --data FOLDER.")
        for negatives in ("uniform", "popular"):
            found[title(given, name, negatives)] = section(given, name, negatives)
            write_atomically(given.out, "\n".join([HEAD, *found.values()]))
            print(f"{name}, {negatives}: written to {given.out}", flush=True)


def title(given: argparse.Namespace, name: str, negatives: str) -> str:
    """Of a table."""
    several = f", {given.questions} items a user" if given.questions > 1 else ""
    return f"{name}, {negatives} negatives{several}"


def command(given: argparse.Namespace, name: str) -> str:
    """What writes the tables of one set anew."""
    precision = os.environ.get("LLMREC_PRECISION")
    parts = [f"LLMREC_PRECISION={precision}"] if precision else []
    parts += ["python eval/adaptation.py --sets", name, "--users", str(given.users), "--model", given.model]
    parts += ["--questions", str(given.questions)] if given.questions > 1 else []
    parts += ["--leave-out", given.leave_out] if given.leave_out else []
    parts += ["--without", *given.without] if given.without else []
    return " ".join([*parts, "--out", str(given.out)])


def section(given: argparse.Namespace, name: str, negatives: str) -> str:
    """Everything about one table, in Markdown."""
    dataset = Dataset.load(given.data / name)
    last = leave_last_out(dataset, users=given.users, seed=0)
    among = {case.user_id for case in last.cases}
    adapter, found = find(TABLES[name]), []
    for back in range(given.questions):
        split = leave_last_out(dataset, users=None, seed=0, back=back, among=among) if back else last
        exam = exam_of(split, Ask(users=given.users, negatives=negatives))
        table = Table(given, name, negatives, exam, adapter, back)
        values: Values = {}
        for group, make in GROUPS.items():
            values |= run_group(table, group, make)
        found.append(values)
    return "\n".join([*rows(table, merged(found), tested(given, dataset, found[0])), ""])


def merged(found: list[Values]) -> Values:
    """Each user's mean over the items asked for; who has too few likes has fewer."""
    return {
        ranker: {
            user: means([each[ranker][user] for each in found if user in each[ranker]]) for user in users
        }
        for ranker, users in found[0].items()
    }


def means(rows: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each metric."""
    return {metric: float(np.mean([row[metric] for row in rows])) for metric in METRICS}


def tested(given: argparse.Namespace, dataset: Dataset, values: Values) -> list[str]:
    """The users that the tables are about."""
    users = set(values["encoder"])
    if given.leave_out:
        begin, end = map(int, given.leave_out.split(":"))
        order = [case.user_id for case in leave_last_out(dataset, users=None, seed=0).cases]
        users -= set(order[begin:end])
    return sorted(users)


def run_group(table: Table, group: str, make: Callable[[Table], dict[str, Ranker]]) -> Values:
    """Metrics of some rankers that share an adapter."""
    card = table.adapter.card
    manifest = {
        "exam": table.exam.fingerprint,
        "model": table.given.model,
        "group": group,
        "data": table.name,
        "negatives": table.negatives,
        "adapter": card.weights_hash if group in ("adapted", "fused", "networks") else "",
    }
    folder = table.folder / f"{group}-{manifest['adapter'] or 'base'}"
    marker = folder / "done"
    if group in table.given.without and not marker.exists():
        return {}
    run = RunDirectory.start(folder, manifest, resume=True)
    if not marker.exists():
        with progress():
            run_exam(table.exam, make(table), run, seed=0)
        table.given.store.write()
        write_atomically(marker, "")
    return by_ranker(run)


def by_ranker(run: RunDirectory) -> Values:
    """Metrics of every user, by ranker."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for row in run.rows():
        found.setdefault(row["ranker"], {})[row["user"]] = row["metrics"]
    return found


def plain(table: Table) -> dict[str, Ranker]:
    """Baselines and the model without an adapter."""
    base = table.recommender(None)
    both = table.recommender(None, weights={"popularity": 1.0, "embedding": 1.0})
    found = {name: base.ranker_of(name) for name in PLAIN}
    found["popularity + embedding"] = both.ranker_of("fused")
    return found


def untrained(table: Table) -> dict[str, Ranker]:
    """The encoder mode without an adapter."""
    return {"encoder, untrained": table.ranker(None, "encoder")}


def likelihood(table: Table) -> dict[str, Ranker]:
    """The slowest rows: every candidate is scored after every calibration history."""
    return {
        "likelihood, zero-shot": table.ranker(None, "likelihood"),
        "fused, zero-shot": table.ranker(None, "fused"),
    }


def adapted(table: Table) -> dict[str, Ranker]:
    """The model under the adapter; refuses users it was trained on."""
    check_leak(table.exam, table.recommender(str(table.adapter.folder)))
    return {"encoder": table.ranker(str(table.adapter.folder), "encoder")}


def fused(table: Table) -> dict[str, Ranker]:
    """The adapted model in a fusion; slow, it adds likelihoods."""
    return {"fused": table.ranker(str(table.adapter.folder), "fused")}


def same_text(table: Table) -> dict[str, Ranker]:
    """MiniLM over the very texts that the encoder reads of an item."""
    data = table.exam.train
    prompter = Prompter(load_domain(data.domain), catalogue=data.items)
    scorer = EmbeddingScorer(data, prompter, MiniLmEmbedder(), text=prompter.item)
    return {"embedding, the encoder's texts": ScorerRanker(scorer, data)}


def networks(table: Table) -> dict[str, Ranker]:
    """Fitted on the adapter's own training users; none where it saw nobody of this data set."""
    source = source_of(table.adapter.card, table.name)
    if source is None:
        return {}
    return fitted(source.model_copy(update={"data": str(table.given.data / table.name)}))


@functools.cache
def fitted(source: Source) -> dict[str, Ranker]:
    """Once for both kinds of negatives: what is learnt from is the same."""
    population = Population(source)
    ingredients = Ingredients(population.train, population.prompter, seed=0)
    try:
        return {name: ScorerRanker(build_scorer(name, ingredients), population.dataset) for name in NETWORKS}
    except MissingExtra as error:
        sys.exit(str(error))


GROUPS = {
    "plain": plain,
    "same_text": same_text,
    "adapted": adapted,
    "fused": fused,
    "networks": networks,
    "untrained": untrained,
    "likelihood": likelihood,
}


def source_of(card: Card, name: str) -> Source | None:
    """What the adapter's own recipe says of a data set."""
    stages = card.recipe.get("stages", [])
    for source in (s for stage in stages for s in stage["sources"]):
        if source["data"] == name:
            return Source.model_validate(source)
    return None


def rows(table: Table, values: Values, users: list[str]) -> Iterator[str]:
    """The table, the best first, with a test of every row against the encoder."""
    per_user = {n: np.array([v[u]["ndcg@10"] for u in users]) for n, v in values.items()}
    card = table.adapter.card
    yield f"## {title(table.given, table.name, table.negatives)}"
    yield ""
    domain = table.exam.train.domain
    weight = weight_of(card, table.negatives, None, domain)
    seen = f"popularity weight {weight:g}" if domain in card.templates else "never trained here"
    yield f"{len(users)} users, adapter `{card.name}`, {seen}; by `{command(table.given, table.name)}`."
    yield ""
    yield f"| ranker | {' | '.join(METRICS)} | encoder minus row (p) |"
    yield "|---|" + "---|" * (len(METRICS) + 1)
    for name in sorted(per_user, key=lambda n: -per_user[n].mean()):
        cells = [f"{np.mean([values[name][u][m] for u in users]):.3f}" for m in METRICS]
        interval = bootstrap_interval(per_user[name], seed=0)
        cells[3] += f" ({interval.low:.3f}-{interval.high:.3f})"
        gap = per_user["encoder"] - per_user[name]
        test = (
            ""
            if name == "encoder"
            else f"{gap.mean():+.3f} ({paired_test(per_user['encoder'], per_user[name]):.4f})"
        )
        yield f"| {name} | {' | '.join(cells)} | {test} |"


if __name__ == "__main__":
    main()
