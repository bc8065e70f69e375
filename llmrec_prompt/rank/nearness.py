"""How near items are to what a user has, item by item."""

import numpy as np

from llmrec_prompt.rank.base import Array


def nearness(cosines: Array, focus: float) -> Array:
    """A soft maximum over history items: log mean exp(focus * cos) / focus, in [-1, 1].

    Times `focus` it is the log of a kernel density of the history's items (item-to-item similarity as of
    FISM, Kabbur et al. 2013, with a von Mises-Fisher kernel on the states). A small `focus` gives the mean of
    the cosines, a large one their maximum.

    Args:
        cosines: of history items to candidates (shown, candidates).
        focus: the temperature, above 0.
    """
    highest = cosines.max(axis=0)
    return np.asarray(highest + np.log(np.exp(focus * (cosines - highest)).mean(axis=0)) / focus)
