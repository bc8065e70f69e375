"""Adapters swapped on one loaded model: what is found, checked and put in force, and what each one leaves."""

import logging
from collections.abc import Callable
from pathlib import Path

from llmrec_prompt.adapters import Card, find_served, for_domain, is_twin, texts_in
from llmrec_prompt.adapters.card import CARD, CONFIG
from llmrec_prompt.backends import Backend, PinnedBackend, turns_of
from llmrec_prompt.rank.building import Rankers

AUTO = "auto"
"""Stands for the adapter that serves the domain on the model, or for none where there is none."""
UNKNOWN = (
    "The adapter %s has no card: its mode, base, templates and users are not known, so it serves the modes "
    "of the bare model and no leak is found. Give the folder that `llmrec adapt train` made, or a GGUF file "
    "that `llmrec adapters export` wrote."
)
log = logging.getLogger(__name__)


class Swap:
    """Rankers under the base and under every adapter used so far. The model is loaded when first needed.

    What an adapter can change (states, likelihoods) is kept apart for each; going back to one costs nothing.

    Args:
        base: rankers of the model without an adapter; the others are made after it.
        load: gives the model.
        adapter: the one to begin with; looked up when first needed, because that takes the model.
    """

    def __init__(self, base: Rankers, load: Callable[[], Backend], adapter: str | None) -> None:
        self._load, self._asked = load, adapter
        self._model: Backend | None = None
        self._base = base.under(lambda: PinnedBackend(self._loaded, None), None)
        self._made: dict[str, tuple[str, Rankers]] = {}
        self._current: Rankers | None = None

    @property
    def _loaded(self) -> Backend:
        if self._model is None:
            with self._base.building:
                self._model = self._model or self._load()
        return self._model

    @property
    def rankers(self) -> Rankers:
        """Those of the adapter in use."""
        current = self._current  # read once: another thread may swap
        if current is None:
            current = self.use(self._asked)
        return current

    @property
    def backend(self) -> Backend:
        """The model itself, with the adapter of this swap in force until somebody who shares it swaps."""
        with turns_of(self._loaded).under(self._loaded, self.rankers.backend.adapter) as backend:
            return backend

    def use(self, adapter: str | None) -> Rankers:
        """Swap; if that fails, the adapter before stays in use. `auto` is looked up by the domain.

        Raises:
            UnknownName: there is no such adapter.
            AdapterError: it is for another base or for other templates, or cannot be loaded.
        """
        with self._base.building:
            wanted = self._of_domain() if adapter == AUTO else adapter
            self._current = self._base if wanted is None else self._under(wanted)
            return self._current

    def _of_domain(self) -> str | None:
        found = for_domain(self._base.given.prompter.domain.name, self._loaded.info.hash)
        return str(found.folder) if found else None

    def _under(self, adapter: str) -> Rankers:
        path, card = find_adapter(adapter, self._loaded.info.hash)
        prompter = self._base.given.prompter
        if card is not None:
            card.check_template(prompter.domain.name, prompter.fingerprint_for(card.mode))
        identity = turns_of(self._loaded).take_up(self._loaded, path)
        known, rankers = self._made.get(path, ("", self._base))
        if known != identity or rankers.card != card:  # new here, or trained anew at the same place
            if card is None:
                log.warning(UNKNOWN, path)
            rankers = self._base.under(lambda: PinnedBackend(self._loaded, path), card)
            self._made[path] = identity, rankers
        return rankers


def find_adapter(what: str, model_hash: str) -> tuple[str, Card | None]:
    """Path and card of an adapter for a model.

    A PEFT folder or a GGUF file without a card is taken as it is: there is nothing to check.

    Raises:
        UnknownName: there is no such adapter.
        AdapterError: it was trained on another base, or its card or the file cannot be read.
        MissingExtra: a hub id, but huggingface_hub is not installed.
    """
    path = Path(what).expanduser()
    if _without_card(path):
        return str(path), None
    found = find_served(what, base_hash=model_hash)
    return str(found.folder), found.card


def _without_card(path: Path) -> bool:
    if is_twin(path):
        return CARD not in texts_in(path)
    return (path / CONFIG).is_file() and not (path / CARD).exists()
