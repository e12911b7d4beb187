r"""The plain recurrent network.

    a_t     = W_ih x_t + b_ih + W_hh h_t + b_hh
    h_{t+1} = φ(a_t)
    J_t     = ∂h_{t+1}/∂h_t = diag(φ′(a_t)) W_hh
    ∂L/∂h_t = (∂L/∂h_{t+1} ⊙ φ′(a_t)) W_hh        (gradients are rows)

Index legend: t time, B sequences, D inputs, H units; δ_t = ∂L/∂a_t (B, H).

Source: Elman (1990); the weight names are those of `torch.nn.RNN`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from .activations import ACTIVATIONS, activation
from .arrays import Array
from .recurrence import Arrays, Recurrence

__all__ = ["RNN"]


@dataclass(frozen=True, eq=False, repr=False)
class RNN(Recurrence):
    """A recurrent layer h_{t+1} = φ(W_ih x_t + b_ih + W_hh h_t + b_hh), one direction.

    Make one with `RNN.init` or `RNN.from_torch`, which copy; all arrays are of one library, dtype and device.
    Arrays handed to `RNN(…)` or `replace` are kept as they are: do not change them afterwards.

    Attributes
    ----------
    weight_ih : Array, shape (H, D)
    weight_hh : Array, shape (H, H)
    bias_ih, bias_hh : Array, shape (H,)
    activation : str
        φ: 'tanh' (default), 'relu', 'sigmoid' or 'linear'.

    Raises
    ------
    ValueError, TypeError
        Shapes, dtypes, devices or libraries that do not agree, or an unknown activation.

    Examples
    --------
    >>> from vglib import RNN, bptt
    >>> import numpy as np
    >>> cell = RNN.init(inputs=2, hidden=3, seed=0)
    >>> bptt.unroll(cell, np.zeros((5, 1, 2))).outputs.shape
    (5, 1, 3)
    """

    activation: str = "tanh"

    torch_name: ClassVar[str] = "RNN"

    def __post_init__(self) -> None:
        super().__post_init__()
        activation(self.activation)

    @classmethod
    def _options_of(cls, module: Any) -> dict[str, Any]:
        return {"activation": module.nonlinearity}

    def _torch_options(self) -> dict[str, Any]:
        if self.activation not in ("tanh", "relu"):
            raise ValueError(
                f"activation: torch.nn.RNN has tanh and relu only; this cell has {self.activation!r}"
            )
        return {"nonlinearity": self.activation}

    def step(self, projected: Array, state: Array) -> tuple[Array, tuple[Array, ...]]:
        """Return h_{t+1} and (a_t,), from the projected input (B, H) and h_t (B, H)."""
        a = projected + self.xp.matmul(state, self.weight_hh.T)
        return ACTIVATIONS[self.activation].function(self.xp, a), (a,)

    def factors(self, saved: tuple[Array, ...]) -> tuple[Array, ...]:
        """Return (φ′(a),), shaped like a: (…, H)."""
        (a,) = saved
        return (ACTIVATIONS[self.activation].derivative(self.xp, a),)

    def backward_step(self, factors: Arrays, d_state: Array) -> Arrays:
        """Return ∂L/∂h_t, and δ_t for the input and for the recurrent side."""
        (slope,) = factors
        delta = d_state * slope
        return self.before(delta), delta, delta

    def jacobian(self, factors: tuple[Array, ...]) -> Array:
        """Return diag(φ′(a)) W_hh, (…, H, H)."""
        (slope,) = factors
        return slope[..., None] * self.weight_hh
