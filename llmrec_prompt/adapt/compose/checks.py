"""Whom a mixture may be fitted to: nobody of whom a parent learnt, for it would win by what it remembers."""

from collections.abc import Sequence

from llmrec_prompt.adapt.compose.card import Mixture
from llmrec_prompt.adapt.histories import Population
from llmrec_prompt.adapt.starting import remembered
from llmrec_prompt.adapters import overlap
from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import ConfigError


def check_new(mixture: Mixture, dataset: Dataset, users: Sequence[str]) -> None:
    """Refuse to search on users that a parent learnt from: it would win by what it remembers of them.

    Raises:
        ConfigError: as said.
    """
    for parent in mixture.parents:
        seen = overlap(parent.folder, dataset, users)
        if seen:
            raise ConfigError(
                f"Adapter {parent.card.name!r} was trained on {len(seen)} of the {len(users)} "
                "users to search on, so it would win by memory. Leave it out, or search on other data."
            )


def check_judges(mixture: Mixture, population: Population) -> None:
    """Refuse validation users that a parent learnt from: how to rank would be chosen by what it remembers.

    Raises:
        ConfigError: as said.
    """
    for parent in mixture.parents:
        if seen := remembered(parent.folder, population):
            raise ConfigError(
                f"Adapter {parent.card.name!r} was trained on {len(seen)} of the "
                f"{len(population.validation)} validation users, so they cannot choose how to rank. Give the "
                "`test` and `validation` of its training, `validation` 0, or other data."
            )


def strangers(mixture: Mixture, dataset: Dataset, users: Sequence[str]) -> list[str]:
    """Those of these users whom no parent learnt from."""
    known = set().union(*(overlap(parent.folder, dataset, users) for parent in mixture.parents))
    return [user for user in users if user not in known]
