"""How near items are to what a user has, item by item."""

import numpy as np

from llmrec_prompt.rank.base import Array


def nearness(cosines: Array, near: float) -> Array:
    """A soft maximum over history items: log mean exp(near * cos) / near, in [-1, 1].

    Times `near` it is the log of a kernel density of the history's items (item-to-item similarity as of
    FISM, Kabbur et al. 2013, with a von Mises-Fisher kernel on the states). A small `near` gives the mean of
    the cosines, a large one their maximum.

    Args:
        cosines: of history items to candidates (shown, candidates).
        near: the temperature, above 0.
    """
    highest = cosines.max(axis=0)
    return np.asarray(highest + np.log(np.exp(near * (cosines - highest)).mean(axis=0)) / near)
