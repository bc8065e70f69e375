"""Weighted matrix factorisation by alternating least squares."""

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix

from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.scorers.base import Scores
from llmrec_prompt.scorers.factors import FactorScorer, Rows, fit


class AlsScorer(FactorScorer):
    """Implicit-feedback matrix factorisation (Hu, Koren and Volinsky 2008), as the library implicit fits it.

    A user's factors are the least-squares solution for the items of the history, the items' factors staying
    as they are: step (4) of the paper, the same as a user who was trained on would get.

    Raises:
        ConfigError: a setting that cannot be meant.
    """

    name = "als"

    def __init__(
        self,
        dataset: Dataset,
        *,
        factors: int = 64,
        regularization: float = 0.05,
        alpha: float = 10.0,
        iterations: int = 15,
        seed: int = 0,
    ) -> None:
        if factors < 1 or iterations < 1 or regularization < 0 or alpha <= 0:
            raise ConfigError(
                f"als with {factors} factors, {iterations} iterations, regularization {regularization:g} and "
                f"alpha {alpha:g} cannot be meant: give at least 1, 1, 0 and something above 0."
            )
        super().__init__(dataset)
        self._settings = {
            "factors": factors,
            "regularization": regularization,
            "alpha": alpha,
            "iterations": iterations,
            "seed": seed,
        }
        self._model = (
            fit(AlternatingLeastSquares, self._settings, dataset, "Fitting als") if dataset.has_logs else None
        )

    def _fold_in(self, rows: Rows) -> Scores:
        assert self._model is not None  # no row is known without logs
        ones = np.ones(len(rows), np.float32)
        history = csr_matrix((ones, rows, [0, len(rows)]), shape=(1, self._size))
        user = self._model.recalculate_user(0, history)
        return np.asarray(self._model.item_factors @ user, np.float64)
