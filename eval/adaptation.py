"""Rank under the shipped adapters and write docs/results-adaptation.md.

    python eval/adaptation.py --data ../shared/data

Leave-last-out as in eval/results.py, on users whose histories no adapter was trained on. Networks (SASRec,
LSTM, item-kNN) are fitted on the very users that the adapter was trained on. Every answer is kept under
runs/adaptation, so that a second call only does what is missing; what another model, precision, adapter,
template or code answered is not taken for it. A call renews the tables of the sets it is given and leaves the
page's others as they are.
"""

import argparse
import functools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adaptation_page import Values, head, merged, rows, title
from results import sections

from llmrec_prompt.adapt.histories import Population
from llmrec_prompt.adapt.recipe import Source
from llmrec_prompt.adapters import Adapter, Card, find
from llmrec_prompt.cache import content_key, write_atomically
from llmrec_prompt.cli.output import progress
from llmrec_prompt.data import Dataset, leave_last_out
from llmrec_prompt.errors import MissingExtra
from llmrec_prompt.evaluate.exam import Exam
from llmrec_prompt.evaluate.offline import check_leak
from llmrec_prompt.evaluate.protocols import Ask, exam_of
from llmrec_prompt.evaluate.run import RunDirectory
from llmrec_prompt.evaluate.runner import run_exam
from llmrec_prompt.evaluate.score_cache import ScoreStore, cached
from llmrec_prompt.rank import Ranker
from llmrec_prompt.rank.fused import FusedRanker
from llmrec_prompt.rank.identity import code_fingerprint
from llmrec_prompt.rank.modes import FUSIONS
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
    parser.add_argument("--against", default="encoder", help="the row that the others are tested against")
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
            write_atomically(given.out, "\n".join([head(given.out.name), *found.values()]))
            print(f"{name}, {negatives}: written to {given.out}", flush=True)


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
    manifest = manifest_of(table, group)
    folder = table.folder / f"{group}-{content_key(json.dumps(manifest, sort_keys=True))[:16]}"
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


def manifest_of(table: Table, group: str) -> dict[str, Any]:
    """All that could change an answer; the hash of a model knows its precision."""
    info = table.given.backend.info
    card = table.adapter.card.model_dump_json() if group in UNDER_ADAPTER else ""
    return {
        "exam": table.exam.fingerprint,
        "model": table.given.model,
        "model_hash": info.hash,
        "engine": [info.engine, info.context],
        "template_fingerprint": Prompter(load_domain(table.exam.train.domain)).fingerprint,
        "code": code_fingerprint(),
        "group": group,
        "data": table.name,
        "negatives": table.negatives,
        "adapter": table.adapter.card.weights_hash if card else "",
        "card": content_key(card)[:16] if card else "",
    }


def by_ranker(run: RunDirectory) -> Values:
    """Metrics of every user, by ranker."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for row in run.rows():
        found.setdefault(row["ranker"], {})[row["user"]] = row["metrics"]
    return found


def plain(table: Table) -> dict[str, Ranker]:
    """Baselines and the model without an adapter."""
    base = table.recommender(None)
    found = {name: base.ranker_of(name) for name in PLAIN}
    found["popularity + embedding"] = base.ranker_of("popularity+embedding")
    return found


def untrained(table: Table) -> dict[str, Ranker]:
    """The encoder mode without an adapter."""
    return {"encoder, untrained": table.ranker(None, "encoder")}


def likelihood(table: Table) -> dict[str, Ranker]:
    """The slowest rows: every candidate is scored after every calibration history."""
    return {
        "likelihood, zero-shot": table.ranker(None, "likelihood"),
        "fused, zero-shot": table.ranker(None, "fused"),
        "stacked, zero-shot": table.ranker(None, "stacked"),
    }


def adapted(table: Table) -> dict[str, Ranker]:
    """The model under the adapter; refuses users it was trained on."""
    check_leak(table.exam, table.recommender(str(table.adapter.folder)))
    return {"encoder": table.ranker(str(table.adapter.folder), "encoder")}


def fused(table: Table) -> dict[str, Ranker]:
    """The adapted model among others, with weights from elsewhere and from these logs."""
    return {name: table.ranker(str(table.adapter.folder), name) for name in FUSIONS}


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


def together(table: Table) -> dict[str, Ranker]:
    """The adapter and a network that knows the same users, in equal shares."""
    network = networks(table).get("sasrec")
    parts = [(adapted(table)["encoder"], 1.0), (network, 1.0)] if network else []
    return {"encoder + sasrec": FusedRanker(parts)} if parts else {}


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
    "together": together,
    "untrained": untrained,
    "likelihood": likelihood,
}
UNDER_ADAPTER = ("adapted", "fused", "networks", "together")


def source_of(card: Card, name: str) -> Source | None:
    """What the adapter's own recipe says of a data set."""
    stages = card.recipe.get("stages", [])
    for source in (s for stage in stages for s in stage["sources"]):
        if source["data"] == name:
            return Source.model_validate(source)
    return None


if __name__ == "__main__":
    main()
