r"""Gated recurrent units: one gate that both keeps and lets in, and one for what the candidate sees.

    r       = σ(W_ir x_t + b_ir + W_hr h_t + b_hr)                reset gate
    z       = σ(W_iz x_t + b_iz + W_hz h_t + b_hz)                update gate: how much of the old is kept
    m       = W_hn h_t + b_hn
    n       = tanh(W_in x_t + b_in + r ⊙ m)                       candidate
    h_{t+1} = (1 − z) ⊙ n + z ⊙ h_t

Backwards, with d for derivatives by pre-activations:

    δn = h̄_{t+1} ⊙ (1 − z) ⊙ n′,   δz = h̄_{t+1} ⊙ (h_t − n) ⊙ z′,   δr = δn ⊙ m ⊙ r′
    h̄_t = [δr, δz, δn ⊙ r] W_hh + h̄_{t+1} ⊙ z                    plus what the loss sees of h_t

The input side has δ = [δr, δz, δn], the recurrent side [δr, δz, δn ⊙ r], so the two bias gradients differ.

This is PyTorch's form. Cho et al. (2014) multiply h_t by r *before* W_hn, and many texts let z stand for how
much of the *new* comes in: their z is 1 − z here.

Index legend: t time, T steps, B sequences, D inputs, H units; gates without an index are those of step t,
which leads to h_{t+1}: many texts write z_{t+1} for this z; σ(a) = 1/(1 + exp(−a)); z′ = σ′ and n′ = tanh′ at
the gate's own pre-activation.

Sources: Cho et al. (2014); the place of r and the weight names are those of `torch.nn.GRU`; `chrono`: Tallec
and Ollivier (2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from .base.activations import ACTIVATIONS, sigmoid_and_slope
from .base.arrays import QUIET, Array, device_of
from .base.gate_biases import check_kind, check_lags, log_lags, set_in_cell, set_in_module_
from .base.recurrence import Arrays, Recurrence
from .base.trace import Trace, check_trace

__all__ = ["GRU", "chrono", "chrono_", "gates"]

UPDATE = 1
"""Place of z in PyTorch's order."""


@dataclass(frozen=True, eq=False, repr=False)
class GRU(Recurrence):
    """A layer of gated recurrent units, one direction, in PyTorch's form.

    Make one with `GRU.init` or `GRU.from_torch`, which copy; all arrays are of one library, dtype and device.

    Attributes
    ----------
    weight_ih : Array, shape (3H, D)
        The blocks of r, z, n, one below the other: PyTorch's order.
    weight_hh : Array, shape (3H, H)
    bias_ih, bias_hh : Array, shape (3H,)
        Both are added; the block n of `bias_hh` stands inside r ⊙ (…), so that the two are not one.

    Raises
    ------
    ValueError, TypeError
        Shapes, dtypes, devices or libraries that do not agree.

    Examples
    --------
    >>> from vglib import GRU, bptt
    >>> import numpy as np
    >>> bptt.unroll(GRU.init(inputs=2, hidden=3, seed=0), np.zeros((5, 1, 2))).outputs.shape
    (5, 1, 3)
    """

    gates: ClassVar[int] = 3
    torch_name: ClassVar[str] = "GRU"

    def project(self, x: Array) -> Array:
        """Return W_ih x_t + b_ih + [b_hr, b_hz, 0] for all steps in one product: (T, B, D) → (T, B, 3H)."""
        xp, h = self.xp, self.hidden
        outside = xp.concat([self.bias_hh[: 2 * h], xp.zeros_like(self.bias_hh[2 * h :])])
        return self._project(x, self.bias_ih + outside)

    def step(self, projected: Array, state: Array) -> tuple[Array, Arrays]:
        """Return h_{t+1}, and (a_r, a_z), a_n, m and h_t, from the projected input (B, 3H) and h_t (B, H)."""
        xp, h = self.xp, self.hidden
        recurrent = xp.matmul(state, self.weight_hh.T)
        a = projected[..., : 2 * h] + recurrent[..., : 2 * h]
        m = recurrent[..., 2 * h :] + self.bias_hh[2 * h :]
        opened = ACTIVATIONS["sigmoid"].function(xp, a)
        r, z = opened[..., :h], opened[..., h:]
        a_n = projected[..., 2 * h :] + r * m
        new = ACTIVATIONS["sigmoid"].function(xp, -a[..., h:])  # 1 − z would round to 0
        return new * xp.tanh(a_n) + z * state, (a, a_n, m, state)

    def factors(self, saved: Arrays) -> Arrays:
        """Return ∂h/∂a_r, ∂h/∂a_z, ∂h/∂a_n, ∂h/∂m and z, each (…, H); h is that of the next step."""
        a, a_n, m, h = saved
        sigmoid, tanh, xp = ACTIVATIONS["sigmoid"], ACTIVATIONS["tanh"], self.xp
        opened, slope = sigmoid_and_slope(xp, a)
        H = self.hidden
        new = sigmoid.function(xp, -a[..., H:])
        r, z = opened[..., :H], opened[..., H:]
        dn = new * tanh.derivative(xp, a_n)
        return dn * m * slope[..., :H], (h - xp.tanh(a_n)) * slope[..., H:], dn, dn * r, z

    def backward_step(self, factors: Arrays, d_state: Array) -> Arrays:
        """Return ∂L/∂h_t, and δ_t for the input and for the recurrent side."""
        dr, dz, dn, dm, z = factors
        gates = [d_state * dr, d_state * dz]
        d_input = self.xp.concat([*gates, d_state * dn], axis=-1)
        d_recurrent = self.xp.concat([*gates, d_state * dm], axis=-1)
        return self.before(d_recurrent) + d_state * z, d_input, d_recurrent

    def jacobian(self, factors: Arrays) -> Array:
        """Return ∂h_{t+1}/∂h_t, (…, H, H)."""
        dr, dz, _, dm, z = (f[..., None] for f in factors)
        w_r, w_z, w_n = (self.weight_hh[k * self.hidden : (k + 1) * self.hidden, :] for k in range(3))
        kept = z * self.xp.eye(self.hidden, dtype=z.dtype, device=device_of(z))
        return dr * w_r + dz * w_z + dm * w_n + kept


@QUIET
def gates(trace: Trace) -> dict[str, Array]:
    """Return what the gates were at each step.

    Parameters
    ----------
    trace : Trace
        From `bptt.unroll` with a GRU.

    Returns
    -------
    dict of str to Array, each (T, B, H)
        'r', 'z', 'n'; row t is of the step from h_t to h_{t+1}.

    Raises
    ------
    TypeError
        No trace, or one of another kind of cell.
    """
    check_trace(trace)
    check_kind(trace.cell, GRU, "trace.cell")
    cell, (a, a_n, *_) = trace.cell, trace.saved
    opened = ACTIVATIONS["sigmoid"].function(cell.xp, a)
    return {"r": opened[..., : cell.hidden], "z": opened[..., cell.hidden :], "n": cell.xp.tanh(a_n)}


def chrono(cell: GRU, longest: int, seed: int = 0) -> GRU:
    """Return the cell with biases that make it remember over up to `longest` steps from the start.

    The bias of z of each unit is log u with u from U(1, longest − 1): z keeps the old state, so the unit
    keeps it for about u steps. All other biases are 0. (Where z lets in the new, it is −log u.)

    Parameters
    ----------
    cell : GRU
    longest : int
        T_max, the longest lag to be bridged, in steps; at least 2.
    seed : int
        Of the u alone; the same numbers under every library.

    Raises
    ------
    TypeError, ValueError
        No GRU; a lag or a seed that is no such number.

    References
    ----------
    C. Tallec and Y. Ollivier, Can recurrent neural networks warp time?, ICLR 2018.

    Examples
    --------
    >>> from vglib import GRU, gru
    >>> cell = gru.chrono(GRU.init(inputs=2, hidden=1), longest=2)
    >>> cell.bias_ih + cell.bias_hh
    array([0., 0., 0.])
    """
    check_kind(cell, GRU)
    longest, seed = check_lags(longest, seed)
    return set_in_cell(cell, {UPDATE: log_lags("gru", "", cell.hidden, longest, seed)}, clear=True)


def chrono_(module: Any, longest: int, seed: int = 0) -> tuple[str, ...]:
    """Give a reader's own `torch.nn.GRU` or `GRUCell` the biases of `chrono`, in place.

    Every layer and direction has draws of its own; a module of one layer gets the numbers of `chrono`.

    Parameters
    ----------
    module : torch.nn.GRU or torch.nn.GRUCell
        Its weights, dtype, device and `requires_grad` stay.
    longest, seed
        As for `chrono`.

    Returns
    -------
    tuple of str
        Names of the parameters that were set.

    Raises
    ------
    TypeError
        Another kind of module.
    ValueError
        A lag or a seed that is no such number; biases that are absent, one for both sides, computed by a
        parametrisation, or on the device 'meta'. Nothing is changed then.
    """
    longest, seed = check_lags(longest, seed)
    return set_in_module_(
        module,
        "GRU",
        lambda hidden, suffix: {UPDATE: log_lags("gru", suffix, hidden, longest, seed)},
        clear=True,
    )
