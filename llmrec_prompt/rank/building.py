"""From the name of a mode to a ranker; scorers and priors are shared between modes."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from threading import RLock
from typing import Any, TypeVar

from llmrec_prompt.adapters import Card
from llmrec_prompt.backends import Backend
from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import ConfigError, UnknownName
from llmrec_prompt.rank.base import Ranker
from llmrec_prompt.rank.encoder import EncoderRanker, EncoderScorer
from llmrec_prompt.rank.fused import FusedRanker
from llmrec_prompt.rank.label import LabelRanker
from llmrec_prompt.rank.learnt import learnt_in
from llmrec_prompt.rank.likelihood import LikelihoodRanker
from llmrec_prompt.rank.listed import ListedRanker
from llmrec_prompt.rank.modes import ASKING, FUSIONS, PARTS, check_mode, parts_of
from llmrec_prompt.rank.priors import calibration_histories
from llmrec_prompt.rank.scorer import ScorerRanker
from llmrec_prompt.rank.weights import default_weights, is_trained
from llmrec_prompt.rank.yes_no import YesNoRanker
from llmrec_prompt.retrieve import Retriever
from llmrec_prompt.scorers import NEED_LOGS, SCORERS, Ingredients, Scorer, build_scorer
from llmrec_prompt.scorers.embedders import embeds_with_model
from llmrec_prompt.templates import HistoryPrompt
from llmrec_prompt.types import History

T = TypeVar("T")
RETRIEVERS = ("embedding", "co-occurrence", "bm25", "popularity")
PEERS = 4
"""Calibration histories behind an item's prior: each costs one more evaluation of every candidate."""


@dataclass
class Rankers:
    """Builds rankers and scorers from the same ingredients under one adapter, each once."""

    given: Ingredients
    weights: Mapping[str, float] | None = None
    """Of the fusion's parts; the defaults if None."""
    prior_weight: float = 1.0
    calibration: str = "catalogue"
    task: str = "catalogue"
    popularity_weight: float | None = None
    """Of the encoder's popularity term; the card's for the task if None."""
    card: Card | None = None
    """Of the adapter in force."""
    learn: Callable[..., Mapping[str, float] | None] = lambda *_: None
    """Gives the weights of mode `stacked`, such as `rank/stacking.py`; None where nothing can be learnt."""
    shared: dict[str, Scorer] = field(default_factory=dict)
    """Scorers that no adapter changes."""
    _own: dict[str, Scorer] = field(default_factory=dict)
    _made: dict[str, Any] = field(default_factory=dict)
    building: RLock = field(default_factory=RLock)
    """Held while something is loaded, fitted or built: of several threads one does it, the others wait."""

    def under(self, backend: Callable[[], Backend], card: Card | None) -> "Rankers":
        """The same under another adapter: all that it could change is built anew, the rest is shared."""
        return replace(self, given=replace(self.given, backend=backend), card=card, _own={}, _made={})

    def over(self, dataset: Dataset) -> "Rankers":
        """The same over other logs of the same catalogue: what reads the items alone is shared."""
        items = {name: scorer for name, scorer in self.shared.items() if name not in NEED_LOGS}
        loaded = {name: made for name, made in self._made.items() if name == "backend"}
        given = replace(self.given, dataset=dataset)
        return replace(self, given=given, shared=items, _own=dict(self._own), _made=loaded)

    def scorer(self, name: str) -> Scorer:
        """A fitted scorer.

        Raises:
            UnknownName: no such scorer.
        """
        own = name == "embedding" and embeds_with_model(self.given.embedder)
        return self._once(self._own if own else self.shared, name, lambda: build_scorer(name, self.given))

    def _once(self, known: dict[str, T], key: str, build: Callable[[], T]) -> T:
        """What is there, at once; what is not is built by one thread, and the others wait for it."""
        if key not in known:
            with self.building:
                if key not in known:
                    known[key] = build()
        return known[key]

    @property
    def backend(self) -> Backend:
        """The language model.

        Raises:
            ConfigError: there is none.
        """
        load = self.given.backend
        if load is None:
            raise ConfigError("This mode needs a language model. Give one with --model.")
        found: Backend = self._once(self._made, "backend", load)
        return found

    @property
    def _encoder(self) -> EncoderRanker:
        found: EncoderRanker = self._once(self._made, "encoder", self._build_encoder)
        return found

    def _build_encoder(self) -> EncoderRanker:
        return EncoderRanker(
            self.backend,
            self.given.prompter,
            self.given.dataset,
            card=self.card,
            task=self.task,
            popularity=self.popularity_weight,
        )

    @property
    def _likelihood(self) -> LikelihoodRanker:
        found: LikelihoodRanker = self._once(self._made, "likelihood", self._build_likelihood)
        return found

    def _build_likelihood(self) -> LikelihoodRanker:
        dataset, prompter = self.given.dataset, self.given.prompter
        peers = calibration_histories(
            dataset,
            source=self.calibration,
            count=PEERS,
            length=prompter.domain.history,
            seed=self.given.seed,
        )
        return LikelihoodRanker(
            self.backend, prompter, peers=peers, prior_weight=self.prior_weight, card=self.card
        )

    def resolve(self, mode: str) -> str:
        """What `auto` stands for: the mode that the adapter was trained for, `fused` without one.

        `fused`, too, where an encoder was not trained: its nearness is worth more beside the other parts
        (docs/results-transfer.md).
        """
        if mode != "auto":
            return mode
        abroad = is_trained(self.card) and not learnt_in(self.card, self.given.prompter.domain.name)
        return "fused" if self.card is None or abroad else self.card.mode

    def prompt(self, mode: str, history: History) -> HistoryPrompt:
        """What a mode reads of a history, and how many of its items.

        Raises:
            UnknownName: no such mode.
        """
        mode = self.resolve(mode)
        check_mode(mode)
        parts = self._parts(mode)
        if "encoder" in parts and "likelihood" not in parts:
            return self._encoder.prompt(history)
        trained = self.card if mode in ASKING and self.card and mode == self.card.mode else None
        return self.given.prompter.history(history, show=trained.history if trained else None)

    def ranker(self, mode: str) -> Ranker:
        """The ranker of a mode, built once.

        Raises:
            UnknownName: no such mode.
            Unsupported: the backend lacks what the mode asks for.
        """
        mode = self.resolve(mode)
        found: Ranker = self._once(self._made, mode, lambda: self._build(mode))
        return found

    def _build(self, mode: str) -> Ranker:
        if mode in SCORERS:
            return ScorerRanker(self.scorer(mode), self.given.dataset)
        if mode == "likelihood":
            return self._likelihood
        if mode == "encoder":
            return self._encoder
        if mode in ASKING:
            return self._asking(mode)
        if mode in FUSIONS:
            return self._fusion(mode)
        check_mode(mode)
        return FusedRanker([(self.ranker(part), 1.0) for part in parts_of(mode)], name=mode)

    def _asking(self, mode: str) -> Ranker:
        if mode == "yes_no":
            return YesNoRanker(self.backend, self.given.prompter, card=self.card)
        ranker = LabelRanker if mode == "label" else ListedRanker
        return ranker(self.backend, self.given.prompter, seed=self.given.seed, card=self.card)

    def fusion(self) -> dict[str, float]:
        """Parts of the fusion and their weights, only those that there is the data for.

        By default an adapter that was trained as an encoder takes the place of the likelihood.

        Raises:
            UnknownName: no such part.
        """
        logs, weights = self.given.dataset.has_logs, self.weights
        if weights is None:
            weights = default_weights(self.card, self.given.prompter.domain.name, logs=logs)
        unknown = [part for part in weights if part not in PARTS]
        if unknown:
            raise UnknownName("part of a fusion", unknown[0], PARTS)
        return {part: w for part, w in weights.items() if w and (logs or part not in NEED_LOGS)}

    def _usable(self) -> dict[str, float]:
        """The fusion; by default without the bare model's encoder where the backend cannot embed."""
        found = self.fusion()
        if self.weights is None and "encoder" in found and "embed" not in self.backend.info.can:
            del found["encoder"]
        return found

    def _fusion(self, mode: str) -> FusedRanker:
        """The default parts, with tuned weights or with what the logs teach."""
        start = self._usable()
        parts = {part: self.ranker(part) for part in start}
        learnt = start if mode == "fused" else self.learn(self, start, parts)
        weighted = [(parts[part], weight) for part, weight in (learnt or start).items()]
        return FusedRanker(weighted, name=mode, events={} if learnt else {"weights_not_learnt": 1})

    def _parts(self, mode: str) -> Collection[str]:
        """What a mode is made of."""
        return self.fusion() if mode in FUSIONS else parts_of(mode) or (mode,)

    def retriever(self, mode: str, size: int) -> Retriever:
        """What finds a mode's candidates: the top of several scorers, or all there are.

        Scorers and `encoder` know the whole catalogue at once; only what asks the model about each candidate
        needs fewer.
        """
        dataset, mode = self.given.dataset, self.resolve(mode)
        parts = self._parts(mode)
        if mode not in FUSIONS and all(part == "encoder" or part in SCORERS for part in parts):
            return Retriever(dataset, (), size=len(dataset.items))
        wanted = dict.fromkeys([*RETRIEVERS, *(part for part in parts_of(mode) if part in SCORERS)])
        names = [name for name in wanted if dataset.has_logs or name not in NEED_LOGS]
        scorers = [self.scorer(name) for name in names]
        if is_trained(self.card) and "encoder" in parts:
            scorers.insert(0, EncoderScorer(self._encoder))  # bare, it is not worth reading the catalogue
        return Retriever(dataset, scorers, size=size)
