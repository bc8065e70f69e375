"""Numeric item fields on a common scale (price, year, any extra field). Knows only items."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from llmrec_prompt.data.catalogue import number
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.types import Item

Method = Literal["mean-std", "min-max"]
Level = Literal["low", "medium", "high", ""]


@dataclass(frozen=True, slots=True)
class Scaler:
    """Scales one field: (value - centre) / width. Fit on a catalogue, then used on any item.

    `thirds` are the two cuts between low, medium and high; `count` says how many items had the field.
    """

    field: str
    method: Method
    centre: float
    width: float
    thirds: tuple[float, float]
    count: int

    @classmethod
    def fit(cls, items: Iterable[Item], field: str, method: Method = "mean-std") -> "Scaler":
        """Fit on the items that have a number in `field`; without any, every answer is "missing".

        Raises:
            ConfigError: an unknown method.
        """
        if method not in ("mean-std", "min-max"):
            raise ConfigError(f"Unknown method {method!r}; give 'mean-std' or 'min-max'.")
        found = (read_field(item, field) for item in items)
        values = np.array([value for value in found if value is not None], dtype=np.float64)
        if not len(values):
            return cls(field, method, 0.0, 0.0, (0.0, 0.0), 0)
        low, high = float(values.min()), float(values.max())
        spread = (float(values.mean()), float(values.std())) if method == "mean-std" else (low, high - low)
        # A constant field has a rounded std of 1e-17 or so, not 0: the range decides.
        centre, width = spread if high > low else (low, 0.0)
        first, second = np.quantile(values, [1 / 3, 2 / 3]).tolist()
        return cls(field, method, centre, width, (first, second), len(values))

    def transform(self, item: Item) -> float | None:
        """The scaled value; None when the item (or every fitted item) lacks it, 0.0 for a constant field."""
        value = read_field(item, self.field)
        if value is None or not self.count:
            return None
        return (value - self.centre) / self.width if self.width else 0.0

    def level(self, item: Item) -> Level:
        """The catalogue's tercile the item falls in; "" when missing, "medium" for a constant field."""
        value = read_field(item, self.field)
        if value is None or not self.count:
            return ""
        if not self.width:
            return "medium"
        return "low" if value <= self.thirds[0] else "medium" if value <= self.thirds[1] else "high"


def read_field(item: Item, field: str) -> float | None:
    """The number in a field of an item, None when there is none.

    >>> read_field(Item(item_id="1", title="t", year="1999"), "year")
    1999.0
    """
    return number(item.model_dump(include={field}).get(field))
