"""Mixing weights from a few users of a new domain, without a gradient (LoraHub: Huang et al. 2023).

The paper minimises loss + 0.05 sum |w_i| over weights from -1.5 to 1.5 in at most 40 evaluations, by a search
of nevergrad's. Here the loss is the encoder's (cross entropy of each next item among the items of the shots,
the temperature refitted at every evaluation), and the search a (1+1) evolution strategy with the one-fifth
rule (Rechenberg 1973), begun at the best of: each adapter alone, equal shares. Only training users take part.
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import set_peft_model_state_dict
from torch.nn import functional as F

from llmrec_prompt.adapt.building import Bench, autocast, build, exams
from llmrec_prompt.adapt.compose.card import Fit, Mixture, farthest
from llmrec_prompt.adapt.compose.checks import check_judges, check_new, strangers
from llmrec_prompt.adapt.compose.matrices import A, B, Pairs
from llmrec_prompt.adapt.compose.mixture import Composed, compose, free_place, summed
from llmrec_prompt.adapt.encode import exact, unit
from llmrec_prompt.adapt.histories import Population, Window, windows
from llmrec_prompt.adapt.publish import source_of, users_of
from llmrec_prompt.adapt.recipe import Lora, Recipe, Source, Stage
from llmrec_prompt.adapt.settling import Settled, settle
from llmrec_prompt.adapt.validation import QUESTIONS, Validation, reported
from llmrec_prompt.adapters.config import MAX_RANK
from llmrec_prompt.errors import ConfigError, DataError
from llmrec_prompt.progress import track

PENALTY = 0.05
BOUND = 1.5
STEP = 0.5
GRID = (0.5, 0.7, 1.0, 1.4, 2.0)
"""Temperatures tried at every evaluation, relative to the one before the search."""
BATCH = 8

Objective = Callable[[tuple[float, ...]], float]


@dataclass(frozen=True, slots=True)
class Search:
    """On whom to search, and how long."""

    target: Source
    """Its `users` are whose logs will be known; its `validation` users choose how to rank, beside `users`."""
    _: KW_ONLY
    users: int | None = None
    """The search looks at so many of them; at all if None."""
    base: str = "smollm2"
    precision: str = "auto"
    evaluations: int = 40
    seed: int = 0


def compose_on(name: str, mixture: Mixture, out: Path, search: Search, *, force: bool = False) -> Composed:
    """Compose on users of a target: method `hub` searches the weights; any other keeps them.

    Temperature and popularity weights are fitted to the target for every method.

    Raises:
        ConfigError: the adapters are no encoders, too many, or one was trained on users to search on or to
            choose by.
        AdapterError: the adapters do not fit together or to the base, or the name is taken.
        DataError: the target has too few users.
    """
    free_place(name, out, force=force)
    if any(parent.card.mode != "encoder" for parent in mixture.parents):
        raise ConfigError("Only encoder adapters can be fitted to users. Leave --data out.")
    if (total := sum(parent.card.lora.r for parent in mixture.parents)) > MAX_RANK:
        raise ConfigError(f"The ranks add up to {total}; {MAX_RANK} can be fitted to users. Compose fewer.")
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as spare:
        parts = replace(mixture, weights=(1.0,) * len(mixture.parents), rank=None)
        start = compose("parts", parts, Path(spare)).folder
        mixer = Mixer(mixture, start, search)
        with autocast(search.precision), torch.no_grad():
            weights = mixer.search(search) if mixture.method == "hub" else mixture.weights
            final = replace(mixture, weights=weights)
            loss = mixer.take(summed(final)[0])
            settled, metrics = mixer.validate()
    shots = {"loss": round(loss, 4), "evaluations": mixer.evaluations, "asked": mixer.asked}
    minutes = round((time.monotonic() - begin) / 60, 2)
    fit = mixer.fit(search, settled, {"shots": shots, **metrics}, minutes)
    return compose(name, final, out, fit=fit, force=force)


class Mixer:
    """A network that holds all parents side by side, so that a mixture is a scaling of B's columns.

    Args:
        mixture: its parents.
        start: the folder of their sum with weights 1, without truncation.
        search: the target and its users.
    """

    def __init__(self, mixture: Mixture, start: Path, search: Search) -> None:
        card = mixture.parents[0].card
        self._ranks = [parent.card.lora.r for parent in mixture.parents]
        rank, layers = sum(self._ranks), card.lora.layers
        lora = Lora(r=rank, alpha=rank, targets=card.lora.targets, layers=len(layers) if layers else None)
        history = max(parent.card.history for parent in mixture.parents)
        reach = farthest([parent.card for parent in mixture.parents]) or history
        stage = Stage(name="shots", sources=(search.target,), steps=1, history=history, reach=reach)
        values = {"base": search.base, "seed": search.seed, "lora": lora, "precision": search.precision}
        self._bench: Bench = build(Recipe.model_validate(values | {"stages": (stage,)}), stage, start)
        assert self._bench.course.reader is not None  # the stage trains `encode`
        self._encode = self._bench.course.reader
        self._first_scale = self._encode.scale
        population, texts = self._bench.sources[0]
        looked_at = population.users[: search.users]
        if not looked_at:
            raise DataError(f"{population.dataset.name} has no user to fit the mixture to. Raise `users`.")
        if mixture.method == "hub":
            check_new(mixture, population.dataset, looked_at)
        check_judges(mixture, population)
        self._shots = Shots(windows(population, texts, history, reach, users=looked_at))
        others = population.judged_by(strangers(mixture, population.dataset, looked_at))
        self._bench.settling = lambda: self._questions(stage, others)
        self._parts = [
            (parameter, parameter.detach().clone())
            for name, parameter in self._bench.network.trainable
            if ".lora_B." in name
        ]
        self.evaluations = self.asked = 0

    def search(self, search: Search) -> tuple[float, ...]:
        """The weights of the lowest penalised loss."""
        count = len(self._ranks)
        alone = [tuple(float(i == k) for i in range(count)) for k in range(count)]
        return minimise(
            lambda w: self.loss(w) + PENALTY * sum(map(abs, w)),
            list(dict.fromkeys([*alone, (1 / count,) * count])),
            evaluations=search.evaluations,
            seed=search.seed,
        )

    def loss(self, weights: Sequence[float]) -> float:
        """Nats a position on the shots at the best temperature, which stays set."""
        self._set(weights)
        return self._loss()

    def take(self, pairs: Pairs) -> float:
        """The same of matrices as they are written, which stay set: cut to a rank, they rank otherwise."""
        rank, tensors = sum(self._ranks), {}
        for key, (a, b) in pairs.items():
            spare = (0, rank - len(a))
            tensors[key] = torch.from_numpy(np.pad(a, (spare, (0, 0))))
            tensors[key.replace(A, B)] = torch.from_numpy(np.pad(b, ((0, 0), spare)))
        set_peft_model_state_dict(self._bench.network.peft, tensors)
        torch.clear_autocast_cache()
        return self._loss()

    def _loss(self) -> float:
        self.evaluations += 1
        windows, at = self._shots.windows, self._shots.at
        every = self._encode.read(0, list(at))
        parts = [windows[begin : begin + BATCH] for begin in range(0, len(windows), BATCH)]
        users = torch.cat([self._users(part) for part in parts])
        with exact(every):
            items = every[[at[row] for row in self._shots.pool]]
            near = torch.cat(self._encode.nearness(every @ items.T, at, windows))
            cosines = users @ items.T
            losses = {f: self._shots.loss(f * self._first_scale * cosines + near) for f in GRID}
        best = min(losses, key=lambda factor: losses[factor])
        self._encode.start_from(best * self._first_scale)
        return losses[best]

    def _users(self, batch: Sequence[Window]) -> Any:
        states = self._bench.network.states([window.tokens for window in batch])
        return unit(torch.cat([row[list(w.ends)] for row, w in zip(states, batch, strict=True)]))

    def _set(self, weights: Sequence[float]) -> None:
        columns = np.repeat(weights, self._ranks).astype(np.float32)
        for parameter, whole in self._parts:
            parameter.copy_(whole * torch.as_tensor(columns, device=whole.device, dtype=whole.dtype))
        torch.clear_autocast_cache()  # it keeps the bfloat16 copy of the weights before these

    def validate(self) -> tuple[Settled, dict[str, Any]]:
        """How the mixture that is set is to rank, and its metrics on the validation users if any."""
        settled = settle(self._bench)
        return settled, reported(self._bench.exams, settled.curves)

    def _questions(self, stage: Stage, others: Population) -> list[Validation]:
        """What is asked to choose how to rank: of those for validation, and of `others` as a second group.

        The others were looked at in the search, but its few weights cannot learn them by heart as training
        does, and twice as many choose better (eval/mixture.py). They are not asked where so little is known
        that no candidates are left without what they would be asked for, nor where nobody is to validate.
        """
        people, texts = self._bench.sources[0]
        found = exams([(people, texts)], stage, QUESTIONS)
        self.asked = len(people.validation)
        if not found:
            return []
        try:
            found += exams([(others, texts)], stage, QUESTIONS)
        except DataError:
            return found
        self.asked += len(others.validation)
        return found

    def fit(self, search: Search, settled: Settled, metrics: dict[str, Any], minutes: float) -> Fit:
        """What the card of a mixture says about the target and its users."""
        population = self._bench.sources[0][0]
        return Fit(
            domain=population.domain.name,
            fingerprint=population.prompter.fingerprint_for("encoder"),
            source=source_of(population),
            users=frozenset(users_of(self._bench)),
            scale=round(self._encode.scale, 4),
            near=round(self._encode.near, 4),
            focus=round(self._encode.focus, 4),
            popularity=settled.popularity,
            centred=settled.centred,
            metrics=metrics,
            minutes=minutes,
            seed=search.seed,
        )


class Shots:
    """All positions of some users' histories, and the items that they lead to.

    The loss is the one that training estimates batch by batch: there an item is a negative as often as it
    comes up, here it is one always, and the log of how often it comes up is added to its logit.
    """

    def __init__(self, windows: Sequence[Window]) -> None:
        self.windows = windows
        targets = np.concatenate([window.targets for window in windows])
        rows, self._targets, counts = np.unique(targets, return_inverse=True, return_counts=True)
        self.pool = [int(row) for row in rows]
        shown = {row for window in windows for row in (*window.before, *window.rows)}
        self.at = {row: i for i, row in enumerate(sorted({*self.pool, *shown}))}
        self._bonus = np.log(counts)
        owned = [np.isin(rows, window.own) for window in windows for _ in window.ends]
        self._unfair = np.stack(owned)
        self._unfair[np.arange(len(targets)), self._targets] = False

    def loss(self, logits: Any) -> float:
        """Mean cross entropy of logits (positions, pool), the user's other items left out."""
        bonus = torch.as_tensor(self._bonus, dtype=logits.dtype, device=logits.device)
        fair = (logits + bonus).masked_fill(torch.from_numpy(self._unfair).to(logits.device), -1e9)
        return float(F.cross_entropy(fair, torch.from_numpy(self._targets).to(logits.device)))


def minimise(
    objective: Objective, starts: Iterable[tuple[float, ...]], *, evaluations: int, seed: int
) -> tuple[float, ...]:
    """The best point found from the best of `starts`, within the bounds; the same for the same seed.

    A normal step is taken from the best point so far; its size grows by half after a success and shrinks by
    its fourth root after a failure, so that it stays where one step in five succeeds.
    """
    values = {point: objective(point) for point in starts}
    best = min(values, key=lambda point: values[point])
    lowest, step, dice = values[best], STEP, np.random.default_rng(seed)
    left = evaluations - len(values)
    for _ in track(range(left), "Searching weights", left):
        moved = np.clip(np.array(best) + step * dice.normal(size=len(best)), -BOUND, BOUND)
        point = tuple(round(float(w), 4) for w in moved)
        value = objective(point)
        better = value < lowest
        step *= 1.5 if better else 1.5**-0.25
        if better:
            best, lowest = point, value
    return best
