"""What the recurrent weights alone say about a gradient: Hochreiter's bound and Pascanu's conditions.

    ‖J_{t+q−1} ⋯ J_t‖₂ ≤ (‖W_hh‖₂ · γ)^q,   J = diag(φ′(a)) W_hh,   γ = max|φ′|

Sources: Hochreiter (1991); Pascanu, Mikolov and Bengio (2013), section 2.1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from .activations import activation
from .arrays import widened
from .errors import whole_number
from .recurrence import Recurrence, check_cell

__all__ = ["PascanuCondition", "hochreiter_bound", "pascanu_condition"]


@dataclass(frozen=True)
class PascanuCondition:
    """What σ = ‖W_hh‖₂ alone can tell about the gradient (Pascanu et al., 2013, section 2.1).

    Attributes
    ----------
    largest_singular_value : float
        σ.
    threshold : float
        1/γ: 1 for tanh, ReLU and linear, 4 for the sigmoid.
    """

    largest_singular_value: float
    threshold: float

    @property
    def must_vanish(self) -> bool:
        """σ < 1/γ is sufficient: each step leaves at most σγ of a gradient."""
        return self.largest_singular_value < self.threshold

    @property
    def may_explode(self) -> bool:
        """σ > 1/γ is necessary for explosion, and not sufficient."""
        return self.largest_singular_value > self.threshold


def pascanu_condition(cell: Recurrence) -> PascanuCondition:
    """Return whether a cell's gradients must vanish, or may explode, by its recurrent weights alone.

    Raises
    ------
    TypeError
        A cell without one activation, such as an LSTM: its factors are not diag(φ′) W.
    NonFiniteError
        A weight that is not finite.
    """
    threshold = 1.0 / _slope(cell)
    return PascanuCondition(_spectral_norm(cell), threshold)


def hochreiter_bound(cell: Recurrence, lags: Iterable[int]) -> list[float]:
    """Return log((‖W_hh‖₂ · max|φ′|)^q) for each lag q: no gradient over q steps is larger.

    Raises
    ------
    TypeError
        A cell without one activation; lags that are not whole numbers.
    ValueError
        A negative lag.
    """
    if not isinstance(lags, Iterable):
        raise TypeError(f"lags must be a sequence of integers; got {lags!r}")
    lags = [whole_number("lags", q, 0) for q in lags]
    step = _slope(cell) * _spectral_norm(cell)
    # 0 · log 0 would be NaN, and over no steps nothing shrinks.
    return [0.0 if q == 0 else q * (math.log(step) if step > 0 else -math.inf) for q in lags]


def _slope(cell: Recurrence) -> float:
    check_cell(cell)
    if not hasattr(cell, "activation"):
        raise TypeError(f"cell must have one activation, as an RNN has; got {type(cell).__name__}")
    return activation(cell.activation).slope


def _spectral_norm(cell: Recurrence) -> float:
    cell.check_weights()
    xp = cell.xp
    return float(xp.linalg.svdvals(widened(xp, cell.weight_hh))[0])
