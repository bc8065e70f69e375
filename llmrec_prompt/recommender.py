"""The facade: a history goes in, recommendations come out."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any, cast

from llmrec_prompt.adapters import Card
from llmrec_prompt.backends import DEFAULT_MODEL, Backend, load_backend
from llmrec_prompt.data import Dataset, Entries, Entry, TitleMatch
from llmrec_prompt.errors import BackendError, ConfigError, DataError
from llmrec_prompt.rank import (
    UNUSABLE,
    FusedRanker,
    Ranker,
    Rankers,
    Reason,
    Request,
    Swap,
    check_mode,
    in_words,
    learnt_weights,
    leave_one_out,
    needs_history,
    rank,
)
from llmrec_prompt.retrieve import Retriever
from llmrec_prompt.scorers import NEED_NO_HISTORY, Ingredients
from llmrec_prompt.settings import Settings, redactor, shown_fields
from llmrec_prompt.templates import Domain, HistoryPrompt, Prompter, load_domain
from llmrec_prompt.types import Item, Ranking


class Recommender:
    """Recommends from one data set with one model.

    The model is loaded when it is first needed and stays loaded; adapters are swapped on it.
    Several recommenders may share one loaded model: each call puts its own adapter in force.

    >>> rec = Recommender("sample:movies", model="fake:overlap", embedder="backend")
    >>> [r.rank for r in rec.recommend(["Alien (1979)", "Blade Runner (1982)"], k=3).recommendations]
    [1, 2, 3]

    Args:
        data: a data set or its folder; items alone are enough.
        domain: whose templates speak; the data set's own if None.
        model: a model reference or a loaded backend.
        mode: one of `llmrec_prompt.rank.MODES`, or several parts added up, such as `encoder+sasrec`;
            `auto` is what the adapter was trained for, or `fused`.
        adapter: a LoRA adapter: its name, the domain it serves, a path, or a hub id. `auto` is the one that
            serves the domain on this model, or none: adapters of yours, or shipped ones with their licences.
        settings: see `Settings`.

    Raises:
        DataError: the data set cannot be read.
        UnknownName: no such domain, mode, model or setting.
    """

    def __init__(
        self,
        data: Dataset | str | Path,
        *,
        domain: str | None = None,
        model: str | Backend = DEFAULT_MODEL,
        mode: str = "auto",
        adapter: str | None = None,
        **settings: Any,
    ) -> None:
        self.settings = Settings.of(settings)
        check_mode(str(mode))
        if not isinstance(data, Dataset | str | Path):
            raise DataError(f"The data is {data!r:.60}; give a folder, or a Dataset (Dataset.from_rows).")
        self.dataset = data if isinstance(data, Dataset) else Dataset.load(data)
        self.domain = load_domain(domain or self.dataset.domain, self.settings.prompts)
        self._fields = shown_fields(model, self.settings.hosted)
        self._redact = redactor(model, self.settings.hosted)
        self.prompter = self._prompter_of(self.domain)
        self.mode = mode
        self._entries = Entries(self.dataset)
        self._model = model
        self._swap = Swap(self._rankers(self.prompter), self._load, adapter)

    def _prompter_of(self, domain: Domain) -> Prompter:
        """What renders a domain, with all that the settings and a hosted model's leave say of it."""
        return Prompter(
            domain,
            language=self.settings.language,
            catalogue=self.dataset.items,
            prompts=self.settings.prompts,
            fields=self._fields,
            redact=self._redact,
        )

    def _rankers(self, prompter: Prompter) -> Rankers:
        settings = self.settings
        given = Ingredients(self.dataset, prompter, embedder=settings.embedder, seed=settings.seed)
        return Rankers(
            given,
            weights=settings.weights,
            prior_weight=settings.prior_weight,
            calibration=settings.calibration,
            task=settings.task,
            popularity_weight=settings.popularity_weight,
            learn=learnt_weights,
        )

    def _load(self) -> Backend:
        if not isinstance(self._model, str):
            return self._model
        return load_backend(self._model, hosted=self.settings.hosted)

    @property
    def backend(self) -> Backend:
        """The language model, loaded on first use, with this recommender's adapter in force."""
        return self._swap.backend

    @property
    def card(self) -> Card | None:
        """Of the adapter in use; None without one, or where it has none."""
        return self._swap.rankers.card

    @property
    def fusion(self) -> dict[str, float]:
        """Parts of mode `fused` and their weights, for this data and adapter."""
        return self._swap.rankers.fusion()

    @property
    def ranker(self) -> Ranker:
        """The ranker of the current mode."""
        return self.ranker_of(self.mode)

    def ranker_of(self, mode: str) -> Ranker:
        """The ranker of any mode over the same data and model.

        Raises:
            UnknownName: no such mode.
            Unsupported: the model lacks what the mode asks for.
        """
        return self._swap.rankers.ranker(mode)

    def speaking(self, domain: Domain) -> Rankers:
        """Rankers over the same data, model and adapter, whose prompts are another domain's.

        Weights that are learnt are those of this one's prompts.

        Raises:
            TemplateError: its templates cannot be used.
        """
        own = self._swap.rankers
        found = self._rankers(self._prompter_of(domain)).under(lambda: own.backend, own.card)
        found.learn = lambda *_: cast(FusedRanker, own.ranker("stacked")).weights
        return found

    def retriever_of(self, mode: str, size: int) -> Retriever:
        """What finds a mode's candidates in the catalogue: `size` of them, or all where it knows all."""
        return self._swap.rankers.retriever(mode, size)

    def recommend(
        self,
        history: Sequence[Entry] | None = None,
        *,
        user: str | None = None,
        k: int = 10,
        explain: bool = False,
        exclude_consumed: bool | None = None,
    ) -> Ranking:
        """The `k` best items of the whole catalogue for a history, or for a user of the data set.

        Args:
            history: titles, ids or items, oldest first. A title that is not in the catalogue is used as
                typed and counted (event `typed_as_is`). An empty one is a user of whom nothing is known, whom
                modes such as `popularity` answer (event `no_history`).
            user: instead of a history, a user whose history it is.
            k: how many lines.
            explain: add reasons by leaving history items out.
            exclude_consumed: overrides the setting.

        Raises:
            DataError: no history, an empty one where the mode needs one, or nothing left to recommend.
            UnknownName: no such user.
        """
        if not isinstance(k, Integral) or k < 1:
            raise ConfigError(f"k is {k!r}; ask for a whole number of recommendations, at least 1.")
        items, request = self._asked(history, user)
        exclude = self.settings.exclude_consumed if exclude_consumed is None else exclude_consumed
        consumed = {item.item_id for item in items}
        consumed |= self.dataset.consumed(request.user) if request.user else set()
        candidates = self._retrieve(items, consumed if exclude else (), at_least=k)
        return self._ranked(items, candidates, request, k=k, explain=explain)

    def rank(
        self,
        history: Sequence[Entry] | None = None,
        *,
        candidates: Sequence[Entry],
        user: str | None = None,
        explain: bool = False,
    ) -> Ranking:
        """A full scored order of the given candidates, never a subset.

        A candidate is an item, or the id or the title of one; a text that is only like a title is not taken
        for it but used as typed (event `typed_as_is`), which modes that need the catalogue refuse.

        Raises:
            DataError: no history, no candidates, or one twice.
            UnknownName: no such user.
        """
        items, request = self._asked(history, user)
        chosen, events = self._entries.read(candidates, "candidates", near=False)
        request = replace(request, events={**(Counter(request.events) + events)})
        return self._ranked(items, chosen, request, k=len(chosen), explain=explain)

    def explain(self, history: Sequence[Entry], item: Entry) -> list[Reason]:
        """Which history items raise an item, the strongest first.

        Gains are in units of the scores it has among the candidates that retrieval finds for this history.
        """
        items = self.history(history)
        candidate = self._entries.read([item], "item", near=True)[0][0]
        candidates = [candidate, *self._retrieve(items, {i.item_id for i in (*items, candidate)})]
        weights = self.ranker.score(items, candidates).weights
        return leave_one_out(self.ranker, items, candidates, weights, places=[0])[0]

    def prompt(self, history: Sequence[Entry] | None = None, *, user: str | None = None) -> HistoryPrompt:
        """What the mode reads of a history: the exact prompt, or its items' texts where it reads those."""
        return self._swap.rankers.prompt(self.mode, self.history(history, user=user))

    def use(self, adapter: str | None) -> None:
        """Swap the LoRA adapter, by name, domain, path, hub id or `auto`; None is the base; it stays loaded.

        Raises:
            UnknownName: there is no such adapter.
            AdapterError: it is for another base or for other templates; the one before stays in use.
        """
        self._swap.use(None if adapter is None else str(adapter))

    def match(self, texts: Sequence[str], *, near: bool = True) -> list[TitleMatch]:
        """What each typed text of a history stands for in the catalogue; without `near`, of candidates."""
        return self._entries.match(texts, near=near)

    def history(self, entries: Sequence[Entry] | None = None, *, user: str | None = None) -> list[Item]:
        """The items of a history given as entries or by user.

        Raises:
            DataError: neither or both are given, or the history is empty and the mode needs one.
            UnknownName: no such user.
        """
        return self._asked(entries, user)[0]

    def _asked(self, entries: Sequence[Entry] | None, user: str | None) -> tuple[list[Item], Request]:
        """The items of a history, and what a ranking of it says of itself."""
        if (entries is None) == (user is None):
            raise DataError("Give either a history or a user of the data set.")
        domain, seed = self.domain.name, self.settings.seed
        if user is not None:
            user = str(user)  # ids are texts, but a table may have numbers
            return list(self.dataset.history_items(user)), Request(user, domain, seed)
        items, events = self._entries.read(() if entries is None else entries, "history", near=True)
        if not items and needs_history(self.mode):
            raise DataError(
                f"The history is empty, of which mode {self.mode} can say nothing. Give at least one title, "
                f"id or item, or another mode: {', '.join(NEED_NO_HISTORY)}."
            )
        return items, Request(None, domain, seed, {**events, **({} if items else {"no_history": 1})})

    def _retrieve(self, history: list[Item], exclude: Collection[str], *, at_least: int = 1) -> list[Item]:
        self.ranker_of(self.mode)  # a model that is not here is an error before a catalogue is indexed
        size = max(self.settings.candidates, at_least)
        return self.retriever_of(self.mode, size).retrieve(history, exclude)

    def _ranked(
        self, history: list[Item], candidates: list[Item], request: Request, *, k: int, explain: bool
    ) -> Ranking:
        ranking = rank(self.ranker, history, candidates, request, most=k)
        if ranking.provenance.events.get(UNUSABLE):
            raise BackendError(
                f"{ranking.provenance.model} answered nothing that mode {ranking.provenance.mode!r} can use: "
                "any order would be chance. Try another mode or another model."
            )
        return self._with_reasons(ranking, history, candidates) if explain else ranking

    def _with_reasons(self, ranking: Ranking, history: list[Item], candidates: list[Item]) -> Ranking:
        place = {item.item_id: i for i, item in enumerate(candidates)}
        shown = [place[line.item_id] for line in ranking.recommendations]
        reasons = leave_one_out(self.ranker, history, candidates, ranking.provenance.weights, places=shown)
        lines = [
            line.model_copy(update={"reasons": in_words(why)})
            for line, why in zip(ranking.recommendations, reasons, strict=True)
        ]
        return ranking.model_copy(update={"recommendations": tuple(lines)})
