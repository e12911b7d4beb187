r"""Influence balancing: a linear system in which the near past pushes the wrong way.

    s_{t+1} = A s_t + θ g,     g = (1, …, 1, −1, …, −1),   p entries +1 and n − p entries −1
    A[i, i] = A[i, i+1] = ½,   0 elsewhere
    ℓ_t     = ½ (s_{t+1}[0] − 1)²

Influence moves up the chain, one unit a step at most. Unit 0 hears of the positive units first, and of the
negative ones, of which there may be more, only later. With θ constant, s comes to rest at

    s = (I − A)⁻¹ θ g,   s[i] = 2θ Σ_{j≥i} g[j],   s[0] = r θ   with r = 2(2p − n)

so the loss at rest is ½(rθ − 1)², its derivative r(rθ − 1), and θ* = 1/r. Truncation after K steps puts

    r_K = Σ_{k<K} (Aᵏ g)[0] = Σ_{k<K} 2⁻ᵏ Σ_j C(k, j) g[j]

in the place of ∂s[0]/∂θ = r. For n = 23 and p = 10, r = −6 while r_10 = +10: descent goes uphill. Where a
series is cut into chunks of K steps with a loss at every step, the first loss of a chunk is seen through one
step and the last through K, so the chunk puts their mean (r_1 + … + r_K)/K in the place of r.

Index legend: n units, p of them positive; t time; θ the one parameter; K steps before the gradient is cut.

Source: Tallec and Ollivier, Unbiasing truncated backpropagation through time (2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from ..arrays import QUIET, Array, check_array, check_finite, device_of, namespace, to_numpy
from ..errors import whole_number
from ..rnn import RNN
from .place import Place

__all__ = ["InfluenceBalancing", "influence_balancing"]


@dataclass(frozen=True, eq=False)
class InfluenceBalancing:
    """The system; `cell(θ)` is it as an RNN, whose input is the constant 1 and whose weight_ih is θ g.

    Attributes
    ----------
    A : Array, shape (n, n)
    signs : Array, shape (n,)
        g.
    positive : int
        p.
    """

    A: Array
    signs: Array
    positive: int

    @property
    def units(self) -> int:
        """Number of units, n."""
        return self.signs.shape[0]

    @property
    def slope(self) -> int:
        """Derivative of s[0] by θ at rest, r = 2(2p − n)."""
        return 2 * (2 * self.positive - self.units)

    @property
    def optimum(self) -> float:
        """θ* = 1/r, where unit 0 rests at 1 and the loss is 0."""
        return 1 / self.slope

    def truncated_slope(self, steps: int, chunks: bool = False) -> float:
        """Return what backpropagation through K steps takes for r; its limit is r.

        Its sign decides: where it is that of r, descent by a small rate goes to θ*, else away from it.

        Parameters
        ----------
        steps : int
            K.
        chunks : bool
            Every loss is seen through K steps: r_K. With True, the mean over a chunk of K steps that has a
            loss at each of them.

        Raises
        ------
        ValueError, TypeError
            A number of steps that is no whole number from 1 up.
        """
        A, v = to_numpy(self.A).astype("float64"), to_numpy(self.signs).astype("float64")
        sums = [0.0]
        for _ in range(whole_number("steps", steps, 1)):
            sums.append(sums[-1] + float(v[0]))
            v = A @ v
        return sum(sums[1:]) / steps if chunks else sums[-1]

    def cell(self, theta: float) -> RNN:
        """Return the linear RNN with weight_hh = A, weight_ih = θ g and biases 0.

        Raises
        ------
        NonFiniteError
            θ is inf or NaN, as after steps of descent that diverged.
        """
        xp = namespace(self.A)
        theta = xp.asarray(float(theta), dtype=self.A.dtype, device=device_of(self.A))
        check_finite("theta", theta, "refuse", first=None)
        bias = xp.zeros_like(self.signs)
        column = xp.reshape(theta * self.signs, (self.units, 1))
        return RNN(column, self.A, bias, xp.zeros_like(bias), activation="linear")

    def inputs(self, steps: int, batch: int = 1) -> Array:
        """Return the constant input 1, (T, B, 1)."""
        steps, batch = whole_number("steps", steps, 1), whole_number("batch", batch, 1)
        xp = namespace(self.A)
        return xp.ones((steps, batch, 1), dtype=self.A.dtype, device=device_of(self.A))

    def at_rest(self, theta: float, batch: int = 1) -> Array:
        """Return the state (B, n) that θ leads to: s[i] = 2θ Σ_{j≥i} g[j]."""
        batch = whole_number("batch", batch, 1)
        xp = namespace(self.A)
        sums = 2 * xp.flip(xp.cumulative_sum(xp.flip(self.signs)))
        return float(theta) * xp.tile(sums[None, :], (batch, 1))

    @QUIET
    def loss(self, outputs: Array) -> tuple[Array, Array]:
        """Return Σ_t ℓ_t, summed over sequences too, and ∂⁺L/∂h for `bptt.backprop`.

        Parameters
        ----------
        outputs : Array, shape (T, B, n)
            `trace.outputs`.

        Returns
        -------
        loss : Array, shape ()
        d_outputs : Array, shape (T, B, n)
            0 for all units but unit 0.

        Raises
        ------
        ValueError, TypeError
            Another shape, library, device or dtype.
        """
        axes = [("T", None), ("B", None), ("n", self.units)]
        xp = check_array("outputs", outputs, axes, self.A, "the system's matrices")
        error = outputs[..., :1] - 1
        rest = xp.zeros_like(outputs[..., 1:])
        return xp.sum(error**2) / 2, xp.concat([error, rest], axis=-1)

    def gradient(self, parameters: dict[str, Array]) -> float:
        """Return ∂L/∂θ = Σ_i g[i] ∂L/∂weight_ih[i, 0], from the gradients of `cell(θ)`'s weights.

        Raises
        ------
        TypeError
            No dictionary with a weight_ih.
        ValueError
            Its shape is not (n, 1).
        """
        if not isinstance(parameters, dict) or "weight_ih" not in parameters:
            raise TypeError(
                "parameters must be the gradients of the cell's weights, e.g. grads.parameters, with "
                f"weight_ih among them; got {type(parameters).__name__}"
            )
        column = parameters["weight_ih"]
        axes = [("n", self.units), ("D", 1)]
        xp = check_array("parameters['weight_ih']", column, axes, self.A, "the system's matrices")
        return float(xp.sum(self.signs * column[:, 0]))

    def __repr__(self) -> str:
        return f"InfluenceBalancing(units={self.units}, positive={self.positive})"


def influence_balancing(
    units: int = 23,
    positive: int = 10,
    xp: ModuleType | None = None,
    device: Any = None,
    dtype: Any = "float64",
) -> InfluenceBalancing:
    """Return the linear system on which truncated backpropagation through time diverges.

    Parameters
    ----------
    units : int
        n.
    positive : int
        p, 1 to n, and not n/2, where θ would have no effect at rest.
    xp, device, dtype
        As for `RNN.init`.

    Returns
    -------
    InfluenceBalancing

    Raises
    ------
    ValueError, TypeError
        Sizes that are no whole numbers or out of range; an unknown library or dtype.

    Examples
    --------
    >>> system = influence_balancing()
    >>> system.slope, system.truncated_slope(10), system.optimum
    (-6, 10.0, -0.16666666666666666)
    """
    units, positive = whole_number("units", units, 1), whole_number("positive", positive, 1)
    if positive > units or 2 * positive == units:
        raise ValueError(
            f"positive must be at most units={units} and not half of it, where θ has no effect at rest; "
            f"got {positive}"
        )
    place = Place(xp, device, dtype)
    signs = np.where(np.arange(units) < positive, 1.0, -1.0)
    A = (np.eye(units) + np.eye(units, k=1)) / 2
    return InfluenceBalancing(place.real(A), place.real(signs), positive)
