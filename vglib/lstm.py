r"""Long short-term memory: a state that is added to, and gates that say when.

    a_t     = W_ih x_t + b_ih + W_hh h_t + b_hh            the four blocks a_i, a_f, a_g, a_o, stacked
    i, f, o = σ(a_i), σ(a_f), σ(a_o),  g = tanh(a_g)       input, forget and output gate; candidate
    c_{t+1} = f ⊙ c_t + i ⊙ g
    h_{t+1} = o ⊙ tanh(c_{t+1})

Backwards, with bars for total derivatives of the loss:

    c̄_{t+1} = [s̄_{t+1}]_c + o ⊙ (1 − tanh² c_{t+1}) ⊙ h̄_{t+1}
    δ_t     = [c̄_{t+1} ⊙ g ⊙ i′,  c̄_{t+1} ⊙ c_t ⊙ f′,  c̄_{t+1} ⊙ i ⊙ g′,  h̄_{t+1} ⊙ tanh(c_{t+1}) ⊙ o′]
    s̄_t     = [δ_t W_hh,  f ⊙ c̄_{t+1}]                     plus what the loss sees of h_t

So "∂L/∂c_t" has two meanings. [s̄_t]_c is the derivative with h_t held fixed: the state [h; c] has two blocks
of coordinates. c̄_t lets h_t follow c_t; it is what autograd stores as c_t.grad, and the one that a forget
gate of 1 with a closed output gate passes on unchanged. `bptt.Gradients` has both, as `states` and `cells`.

There are no peepholes: the gates do not see c_t.

Index legend: t time, T steps, B sequences, D inputs, H units; gates without an index are those of step t,
which leads to s_{t+1}: many texts write f_{t+1} for this f; σ(a) = 1/(1 + exp(−a)), i′ = σ′(a_i) and so on;
δ_t = ∂L/∂a_t (B, 4H); s_t = [h_t; c_t] (B, 2H).

Sources: Hochreiter and Schmidhuber (1997), whose cell had no forget gate, f = 1; the forget gate: Gers,
Schmidhuber and Cummins (2000); its bias: Jozefowicz, Zaremba and Sutskever (2015); `chrono`: Tallec and
Ollivier (2018).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from .base.activations import ACTIVATIONS, sigmoid_and_slope
from .base.arrays import QUIET, Array, device_of
from .base.errors import real_number
from .base.gate_biases import check_kind, check_lags, log_lags, set_in_cell, set_in_module_
from .base.recurrence import Arrays, Recurrence
from .base.trace import Trace, check_trace

__all__ = ["LSTM", "chrono", "chrono_", "forget_bias", "forget_bias_", "gates"]

INPUT, FORGET = 0, 1
"""Places of two gates in PyTorch's order."""


@dataclass(frozen=True, eq=False, repr=False)
class LSTM(Recurrence):
    """A layer of long short-term memory, one direction, without peepholes.

    Make one with `LSTM.init` or `LSTM.from_torch`, which copy; all arrays are of one library, dtype and
    device. The state is [h; c], (B, 2H); `split` and `join` take it apart and put it together.

    Attributes
    ----------
    weight_ih : Array, shape (4H, D)
        The blocks of i, f, g, o, one below the other: PyTorch's order.
    weight_hh : Array, shape (4H, H)
    bias_ih, bias_hh : Array, shape (4H,)
        PyTorch adds both: a forget bias of 1 in each is 2.

    Raises
    ------
    ValueError, TypeError
        Shapes, dtypes, devices or libraries that do not agree.

    Examples
    --------
    >>> from vglib import LSTM, bptt
    >>> import numpy as np
    >>> trace = bptt.unroll(LSTM.init(inputs=2, hidden=3, seed=0), np.zeros((5, 1, 2)))
    >>> trace.outputs.shape, trace.states.shape
    ((5, 1, 3), (6, 1, 6))
    """

    gates: ClassVar[int] = 4
    blocks: ClassVar[tuple[str, ...]] = ("h", "c")
    torch_name: ClassVar[str] = "LSTM"

    def step(self, projected: Array, state: Array) -> tuple[Array, Arrays]:
        """Return s_{t+1} = [h; c] and (a_t, c_t), from the projected input (B, 4H) and s_t (B, 2H)."""
        h, c = state[..., : self.hidden], state[..., self.hidden :]
        a = projected + self.xp.matmul(h, self.weight_hh.T)
        i, f, g, o = self.open_gates(a)
        c_next = f * c + i * g
        return self.xp.concat([o * self.xp.tanh(c_next), c_next], axis=-1), (a, c)

    def factors(self, saved: Arrays) -> Arrays:
        """Return ∂c/∂a_i, ∂c/∂a_f, ∂c/∂a_g, ∂h/∂a_o, ∂h/∂c and ∂c/∂c, each (…, H).

        h and c without an index are those of the next step; the last one is ∂c_{t+1}/∂c_t, the forget gate.
        """
        a, c = saved
        opened, slopes = sigmoid_and_slope(self.xp, a)
        (i, f, _, o), (di, df, _, do) = self.by_gate(opened), self.by_gate(slopes)
        g = self.xp.tanh(self.by_gate(a)[2])
        dg = ACTIVATIONS["tanh"].derivative(self.xp, self.by_gate(a)[2])
        c_next = f * c + i * g
        dh_dc = o * ACTIVATIONS["tanh"].derivative(self.xp, c_next)
        return g * di, c * df, i * dg, self.xp.tanh(c_next) * do, dh_dc, f

    def backward_step(self, factors: Arrays, d_state: Array) -> Arrays:
        """Return ∂L/∂s_t, and δ_t for the input and for the recurrent side."""
        di, df, dg, do, dh_dc, dc_dc = factors
        d_h, d_c = d_state[..., : self.hidden], d_state[..., self.hidden :]
        d_c = d_c + d_h * dh_dc  # from here on the total one
        delta = self.xp.concat([d_c * di, d_c * df, d_c * dg, d_h * do], axis=-1)
        return self.xp.concat([self.before(delta), d_c * dc_dc], axis=-1), delta, delta

    def jacobian(self, factors: Arrays) -> Array:
        """Return ∂s_{t+1}/∂s_t, (…, 2H, 2H): rows h then c of the next step, columns h then c of this one."""
        di, df, dg, do, dh_dc, dc_dc = (f[..., None] for f in factors)
        xp = self.xp
        w_i, w_f, w_g, w_o = (self.weight_hh[k * self.hidden : (k + 1) * self.hidden, :] for k in range(4))
        eye = xp.eye(self.hidden, dtype=dc_dc.dtype, device=device_of(dc_dc))
        c_rows = xp.concat([di * w_i + df * w_f + dg * w_g, dc_dc * eye], axis=-1)
        through_o = do * xp.concat([w_o, xp.zeros_like(w_o)], axis=-1)
        return xp.concat([through_o + dh_dc * c_rows, c_rows], axis=-2)

    def memory_gradients(self, factors: Arrays, d_state: Array) -> Array:
        """Return c̄_{t+1} (…, B, H), h_{t+1} following c_{t+1}."""
        d_h, d_c = d_state[..., : self.hidden], d_state[..., self.hidden :]
        return d_c + d_h * factors[4]

    def open_gates(self, a: Array) -> tuple[Array, Array, Array, Array]:
        """Return i, f, g, o, each (…, H), from the pre-activations (…, 4H)."""
        i, f, _, o = self.by_gate(ACTIVATIONS["sigmoid"].function(self.xp, a))
        return i, f, self.xp.tanh(self.by_gate(a)[2]), o


@QUIET
def gates(trace: Trace) -> dict[str, Array]:
    """Return what the gates were at each step.

    Parameters
    ----------
    trace : Trace
        From `bptt.unroll` with an LSTM.

    Returns
    -------
    dict of str to Array, each (T, B, H)
        'i', 'f', 'g', 'o'; row t is of the step from s_t to s_{t+1}: it makes c_{t+1} and h_{t+1}.

    Raises
    ------
    TypeError
        No trace, or one of another kind of cell.
    """
    check_trace(trace)
    check_kind(trace.cell, LSTM, "trace.cell")
    return dict(zip("ifgo", trace.cell.open_gates(trace.saved[0]), strict=True))


def forget_bias(cell: LSTM, value: float = 1.0) -> LSTM:
    """Return the cell with a forget bias of `value` in all: `bias_ih` gets it, `bias_hh` 0.

    At 0 the forget gate starts at ½ and what is remembered halves at every step; at 1 it starts at 0.73. The
    other biases and all weights stay.

    Parameters
    ----------
    cell : LSTM
    value : float
        The sum of the two biases that are added.

    Raises
    ------
    TypeError, ValueError
        No LSTM; a value that is no finite number, also in the cell's dtype.

    References
    ----------
    F. Gers, J. Schmidhuber and F. Cummins, Learning to forget: continual prediction with LSTM, Neural
    Computation 12, 2000. R. Jozefowicz, W. Zaremba and I. Sutskever, An empirical exploration of recurrent
    network architectures, ICML 2015.

    Examples
    --------
    >>> from vglib import LSTM, lstm
    >>> cell = lstm.forget_bias(LSTM.init(inputs=2, hidden=2), 1.0)
    >>> (cell.bias_ih + cell.bias_hh)[2:4]
    array([1., 1.])
    """
    check_kind(cell, LSTM)
    return set_in_cell(cell, {FORGET: real_number("value", value, -math.inf)}, clear=False)


def forget_bias_(module: Any, value: float = 1.0) -> tuple[str, ...]:
    """Set the forget bias of a reader's own `torch.nn.LSTM` or `LSTMCell` to `value` in all, in place.

    Every layer and direction; dtype, device and `requires_grad` stay.

    Parameters
    ----------
    module : torch.nn.LSTM or torch.nn.LSTMCell
    value : float
        The sum of PyTorch's two biases: `bias_ih` gets it, `bias_hh` 0.

    Returns
    -------
    tuple of str
        Names of the parameters that were set.

    Raises
    ------
    TypeError
        Another kind of module.
    ValueError
        A value that is not finite, also in the biases' dtype; biases that are absent, one for both sides,
        computed by a parametrisation, or on the device 'meta'. Nothing is changed then.

    Examples
    --------
    >>> import torch
    >>> from vglib import lstm
    >>> lstm.forget_bias_(torch.nn.LSTM(2, 3), 1.0)
    ('bias_ih_l0', 'bias_hh_l0')
    """
    value = real_number("value", value, -math.inf)
    return set_in_module_(module, "LSTM", lambda hidden, suffix: {FORGET: value}, clear=False)


def chrono(cell: LSTM, longest: int, seed: int = 0) -> LSTM:
    """Return the cell with biases that make it remember over up to `longest` steps from the start.

    The forget bias of each unit is log u with u from U(1, longest − 1): at first f = u/(1 + u), so that the
    unit keeps its memory for about u steps. Its input bias is −log u: i = 1 − f, so that what it adds up
    stays of order 1. All other biases are 0.

    Parameters
    ----------
    cell : LSTM
    longest : int
        T_max, the longest lag to be bridged, in steps; at least 2.
    seed : int
        Of the u alone; the same numbers under every library.

    Raises
    ------
    TypeError, ValueError
        No LSTM; a lag or a seed that is no such number.

    References
    ----------
    C. Tallec and Y. Ollivier, Can recurrent neural networks warp time?, ICLR 2018.
    """
    check_kind(cell, LSTM)
    longest, seed = check_lags(longest, seed)
    return set_in_cell(cell, _chrono_blocks(cell.hidden, "", longest, seed), clear=True)


def chrono_(module: Any, longest: int, seed: int = 0) -> tuple[str, ...]:
    """Give a reader's own `torch.nn.LSTM` or `LSTMCell` the biases of `chrono`, in place.

    Every layer and direction has draws of its own; a module of one layer gets the numbers of `chrono`.

    Parameters
    ----------
    module : torch.nn.LSTM or torch.nn.LSTMCell
        Its weights, dtype, device and `requires_grad` stay.
    longest, seed
        As for `chrono`.

    Returns
    -------
    tuple of str
        Names of the parameters that were set.

    Raises
    ------
    TypeError, ValueError
        As `forget_bias_` and `chrono`.
    """
    longest, seed = check_lags(longest, seed)
    return set_in_module_(
        module, "LSTM", lambda hidden, suffix: _chrono_blocks(hidden, suffix, longest, seed), clear=True
    )


def _chrono_blocks(hidden: int, suffix: str, longest: int, seed: int) -> dict[int, Any]:
    kept = log_lags("lstm", suffix, hidden, longest, seed)
    return {FORGET: kept, INPUT: -kept}
