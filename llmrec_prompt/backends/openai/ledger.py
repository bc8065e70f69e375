"""What hosted calls cost: a price table, a budget that is asked before every call, a line a call on disk."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llmrec_prompt.errors import BudgetExceeded, ConfigError
from llmrec_prompt.reading import read_yaml

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of a call: sent, answered, and how many of those sent came from the server's prompt cache."""

    sent: int = 0
    answered: int = 0
    cached: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.sent + other.sent, self.answered + other.answered, self.cached + other.cached)


class Price(BaseModel):
    """Prices a million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: float = Field(ge=0)
    output: float = Field(default=0.0, ge=0)
    cached: float | None = Field(default=None, ge=0)
    """Of cached input; that of other input if None."""

    def money(self, tokens: Tokens) -> float:
        """What so many tokens cost.

        >>> Price(input=2, output=8, cached=1).money(Tokens(sent=1_000_000, answered=500_000, cached=500_000))
        5.5
        """
        cached = self.input if self.cached is None else self.cached
        fresh = tokens.sent - tokens.cached
        return (self.input * fresh + cached * tokens.cached + self.output * tokens.answered) / MILLION


def read_price(path: Path, model: str) -> Price:
    """The price of a model in a YAML file of `model: {input: …, output: …, cached: …}`.

    Raises:
        ConfigError: the file cannot be read, or has no such price.
    """
    table = read_yaml(path, ConfigError, f"prices {path}")
    try:
        return Price.model_validate(table[model])
    except (KeyError, TypeError) as error:
        raise ConfigError(f"Prices {path} have no {model!r}. Add a line `{model}: {{input: …}}`.") from error
    except ValidationError as error:
        raise ConfigError(f"Prices {path}, {model!r}: {error.errors()[0]['msg']}.") from error


@dataclass(slots=True)
class Meter:
    """What has been spent and what calls under way may yet cost. Used from one thread only."""

    budget_tokens: int | None = None
    budget_money: float | None = None
    price: Price | None = None
    spent: Tokens = field(default_factory=Tokens)
    _held: Tokens = field(default_factory=Tokens)

    def hold(self, most: Tokens) -> None:
        """Set the most a call can cost aside before it is made.

        Raises:
            BudgetExceeded: with it the budget could be passed.
        """
        total = self.spent + self._held + most
        tokens, money = total.sent + total.answered, self.money(total)
        if self.budget_tokens is not None and tokens > self.budget_tokens:
            raise BudgetExceeded(self._message(f"{tokens} of {self.budget_tokens} tokens"))
        if self.budget_money is not None and money is not None and money > self.budget_money:
            raise BudgetExceeded(self._message(f"{money:.4f} of {self.budget_money:g} in money"))
        self._held = self._held + most

    @property
    def waiting(self) -> bool:
        """Whether calls are under way that may yet cost less than was set aside."""
        return self._held != Tokens()

    def settle(self, most: Tokens, found: Tokens) -> None:
        """Let go of what was set aside, and count what the call did cost."""
        minus = Tokens(-most.sent, -most.answered, -most.cached)
        self._held, self.spent = self._held + minus, self.spent + found

    def money(self, tokens: Tokens) -> float | None:
        """By the price table, if there is one."""
        return None if self.price is None else self.price.money(tokens)

    def _message(self, found: str) -> str:
        return (
            f"The budget is used up: {self.spent.sent + self.spent.answered} tokens are spent, and the next "
            f"call could make it {found}. What was answered is kept; raise the budget to go on."
        )


class Ledger:
    """A JSONL file with a line a call; lines hold counts and hashes, never a text or a key."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
            except OSError as error:
                raise ConfigError(f"Cannot write the ledger {path}: {error.strerror}.") from error

    def write(self, **facts: Any) -> None:
        """Append a line, in one write, so that several processes may share the file."""
        if self._path is None:
            return
        line = json.dumps(facts, ensure_ascii=False) + "\n"
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)
