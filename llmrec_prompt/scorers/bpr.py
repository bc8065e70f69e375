"""Matrix factorisation that learns to put what a user has above what the user has not."""

import numpy as np
from implicit.cpu.bpr import BayesianPersonalizedRanking

from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.scorers.base import Scores
from llmrec_prompt.scorers.factors import Factors, FactorScorer, Rows, fit

STEPS, RATE, OTHERS = 50, 0.5, 200
"""Of folding a history in: gradient steps, their size, and how many items stand for all that it lacks."""


class BprScorer(FactorScorer):
    """Bayesian personalised ranking (Rendle et al. 2009), as the library implicit fits it, items with a bias.

    A user's factors are found from the history by the same objective: gradient ascent from zero on the mean,
    over the history's items i and other items j, of log sigmoid(x_i - x_j), less the regularization, with the
    items' factors and biases staying as they are. The other items are drawn once, with the seed, for all
    users, so a history always gets the same scores.

    Raises:
        ConfigError: a setting that cannot be meant.
    """

    name = "bpr"

    def __init__(
        self,
        dataset: Dataset,
        *,
        factors: int = 64,
        learning_rate: float = 0.05,
        regularization: float = 0.001,
        iterations: int = 50,
        seed: int = 0,
    ) -> None:
        if factors < 1 or iterations < 1 or learning_rate <= 0 or regularization < 0:
            raise ConfigError(
                f"bpr with {factors} factors, {iterations} iterations, learning rate {learning_rate:g} and "
                f"regularization {regularization:g} cannot be meant: give at least 1, 1, above 0, and 0."
            )
        super().__init__(dataset)
        self._settings = {
            "factors": factors,
            "learning_rate": learning_rate,
            "regularization": regularization,
            "iterations": iterations,
            "seed": seed,
        }
        self._regularization = regularization
        if dataset.has_logs:
            model = fit(BayesianPersonalizedRanking, self._settings, dataset, "Fitting bpr")
            table: Factors = model.item_factors
            self._factors, self._bias = table[:, :-1].astype(np.float64), table[:, -1].astype(np.float64)
            drawn = np.random.default_rng(seed).permutation(np.flatnonzero(self._known))
            self._others = drawn[:OTHERS]

    def _fold_in(self, rows: Rows) -> Scores:
        others = np.setdiff1d(self._others, rows)
        own, rest = self._factors[rows], self._factors[others]
        user = np.zeros(own.shape[1])
        for _ in range(STEPS):
            gaps = (own @ user + self._bias[rows])[:, None] - (rest @ user + self._bias[others])[None, :]
            pull = 1 / (1 + np.exp(np.clip(gaps, -30, 30)))  # the gradient of log sigmoid at each gap
            gradient = (pull.sum(axis=1) @ own - pull.sum(axis=0) @ rest) / max(1, pull.size)
            user += RATE * (gradient - self._regularization * user)
        return self._factors @ user + self._bias
