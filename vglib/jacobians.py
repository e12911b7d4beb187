r"""Products of Jacobians: why repeating a step makes gradients vanish or explode.

    ∂s_T/∂s_t = J_{T−1} ⋯ J_t,   J_t = ∂s_{t+1}/∂s_t   (rows for the output)

A product of many matrices leaves the range of any float. `log_norms` therefore carries *one* running product,
rescaled at every step by a power of two, which is exact, and counts the exponents.

Index legend: T steps, B sequences, S state size; t step, q lag; σ a singular value; φ an activation,
γ = max|φ′| its steepest slope.

Sources: Hochreiter (1991); Bengio, Simard and Frasconi (1994); Pascanu, Mikolov and Bengio (2013).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .base.activations import activation
from .base.arrays import QUIET, Array, check_dtype_name, check_finite, device_of, dtype_name, namespace
from .base.errors import choice
from .base.precision import PrecisionLags, precision_lags
from .base.recurrence import Recurrence
from .base.trace import Trace, check_trace

__all__ = [
    "PascanuCondition",
    "PrecisionLags",
    "hochreiter_bound",
    "log_norms",
    "log_singular_values",
    "pascanu_condition",
    "precision_lags",
    "singular_values",
    "steps",
    "stream",
]

ORDERS = ("fro", 2, 1, "inf")


def steps(trace: Trace) -> Array:
    """Return all one-step Jacobians J_t = ∂s_{t+1}/∂s_t.

    Holds T·B·S² numbers, for viewing; `stream` gives them one at a time and `log_norms` needs none stored.

    Parameters
    ----------
    trace : Trace
        From `bptt.unroll`.

    Returns
    -------
    Array, shape (T, B, S, S)

    Raises
    ------
    TypeError
        `trace` is not a trace.
    """
    check_trace(trace)
    return trace.cell.jacobian(trace.cell.factors(trace.saved))


def stream(trace: Trace, reverse: bool = False) -> Iterator[Array]:
    """Yield J_0, J_1, … one at a time, each (B, S, S); from the last to the first if `reverse`.

    Raises
    ------
    TypeError
        `trace` is not a trace.
    """
    check_trace(trace)
    order = range(trace.steps)
    return (trace.cell.jacobian(_factors(trace, t)) for t in (reversed(order) if reverse else order))


@QUIET
def log_norms(
    trace: Trace, ord: str | int = "fro", block: tuple[str, str] | None = None, nonfinite: str = "raise"
) -> Array:
    r"""Return log(‖∂s_T/∂s_t‖ / ‖I‖) for every t: how much of a gradient at the end arrives at step t.

    The identity's norm is divided out (√S for 'fro', 1 for the others), so the value is 0 at t = T for every
    norm. For 'fro' it is the root mean square over the singular values: what a random gradient meets.

    One running product is carried backwards as S gradients side by side, memory O(B·S²) beyond the trace. It
    is rescaled each step by an exact power of two, so nothing over- or underflows however long the sequence:
    a product that is exactly zero gives −inf, never NaN.

    Parameters
    ----------
    trace : Trace
        From `bptt.unroll`.
    ord : {'fro', 2, 1, 'inf'}
        Frobenius, largest singular value, largest column sum, largest row sum.
    block : (str, str), optional
        Output and input block of the state, e.g. ('c', 'c') for an LSTM, whose [h; c] mixes units. A pair of
        different blocks is 0, hence −inf, at t = T.
    nonfinite : {'raise', 'return'}
        What to do when a Jacobian is not finite.

    Returns
    -------
    Array, shape (T+1, B)

    Raises
    ------
    ValueError, TypeError
        An unknown norm or block, or no trace.
    NonFiniteError
        Naming the step.

    Examples
    --------
    >>> import numpy as np
    >>> from vglib import RNN, bptt
    >>> cell = RNN.init(1, 1, activation="linear").replace(weight_hh=np.array([[0.5]]))
    >>> log_norms(bptt.unroll(cell, np.zeros((3, 1, 1))))[:, 0] / np.log(2)
    array([-3., -2., -1.,  0.])
    """
    check_trace(trace)
    choice("ord", ord, ORDERS)
    cell = trace.cell
    xp, size = cell.xp, cell.hidden
    rows, columns = slice(None), slice(None)
    if block is not None:
        rows, columns = (slice(i * size, (i + 1) * size) for i in _block_indices(cell, block))
    identity = math.log(size if block else cell.size) / 2 if ord == "fro" else 0.0
    product, exponent = _identity_rows(trace, rows)
    logs = [_log_norm(xp, product[..., columns], ord, block) - identity]
    for t in reversed(range(trace.steps)):
        product, _, _ = cell.backward_step(_factors(trace, t), product)
        product, shift = _rescale(xp, product)
        exponent = exponent + shift
        logs.append(exponent * math.log(2) + _log_norm(xp, product[..., columns], ord, block) - identity)
    result = xp.astype(xp.stack(logs[::-1]), product.dtype)
    # −inf is an answer, a product that is exactly zero; NaN and +inf come from a Jacobian.
    answered = xp.where(result == -math.inf, xp.zeros_like(result), result)
    check_finite("jacobians", answered, nonfinite, backward=True)
    return result


def singular_values(jacobians: Array) -> Array:
    """Return the singular values of matrices (…, S, S), largest first, (…, S).

    For `steps(trace)` they say how one step can stretch; for a whole sequence use `log_singular_values`.

    Raises
    ------
    TypeError
        No array, or not of floats.
    ValueError
        Fewer than two axes.
    NonFiniteError
        A matrix that is not finite.
    """
    xp = namespace(jacobians, "jacobians")
    check_dtype_name("jacobians's dtype", dtype_name(jacobians.dtype), xp)
    if jacobians.ndim < 2:
        raise ValueError(f"jacobians must have shape (…, S, S); got {tuple(jacobians.shape)}")
    check_finite("jacobians", jacobians if jacobians.ndim > 2 else jacobians[None, ...])
    return xp.astype(xp.linalg.svdvals(_wide(xp, jacobians)), jacobians.dtype)


@QUIET
def log_singular_values(trace: Trace, start: int = 0, stop: int | None = None) -> Array:
    """Return the logarithms of the singular values of ∂s_stop/∂s_start, largest first.

    Parameters
    ----------
    trace : Trace
        From `bptt.unroll`.
    start, stop : int
        Indices of states, 0 ≤ start ≤ stop ≤ T; stop defaults to T.

    Returns
    -------
    Array, shape (B, S)
        A product in floating point resolves singular values down to S·ε times the largest; what lies below
        is rounding noise and is returned as −inf.

    Raises
    ------
    ValueError, TypeError
        No trace, or indices outside it.
    """
    check_trace(trace)
    stop = trace.steps if stop is None else stop
    if not 0 <= start <= stop <= trace.steps:
        raise ValueError(f"start, stop must satisfy 0 ≤ start ≤ stop ≤ T={trace.steps}; got {start}, {stop}")
    cell, xp = trace.cell, trace.cell.xp
    product, exponent = _identity_rows(trace, slice(None))
    for t in reversed(range(start, stop)):
        product, shift = _rescale(xp, cell.backward_step(_factors(trace, t), product)[0])
        exponent = exponent + shift
    matrices = xp.permute_dims(product, (1, 0, 2))
    check_finite("jacobians", matrices)
    sigma = xp.linalg.svdvals(_wide(xp, matrices))
    floor = cell.size * float(xp.finfo(matrices.dtype).eps) * sigma[:, :1]
    kept = sigma > floor
    logs = xp.log(xp.where(kept, sigma, xp.ones_like(sigma))) + exponent[:, None] * math.log(2)
    return xp.astype(xp.where(kept, logs, xp.full_like(logs, -math.inf)), matrices.dtype)


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
        """σ < 1/γ is sufficient: every gradient shrinks by at least σγ a step."""
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
    """
    return PascanuCondition(_spectral_norm(cell), 1.0 / _slope(cell))


def hochreiter_bound(cell: Recurrence, lags: Sequence[int]) -> list[float]:
    """Return log((‖W_hh‖₂ · max|φ′|)^q) for each lag q: no gradient over q steps is larger.

    Raises
    ------
    TypeError
        A cell without one activation.
    ValueError
        A negative lag.
    """
    if any(q < 0 for q in lags):
        raise ValueError(f"lags must not be negative; got {min(lags)}")
    step = _spectral_norm(cell) * _slope(cell)
    return [0.0 if q == 0 else q * (math.log(step) if step > 0 else -math.inf) for q in map(int, lags)]


def _slope(cell: Recurrence) -> float:
    if not isinstance(cell, Recurrence) or not hasattr(cell, "activation"):
        raise TypeError(f"cell must have one activation, as an RNN has; got {type(cell).__name__}")
    return activation(cell.activation).slope


def _spectral_norm(cell: Recurrence) -> float:
    _slope(cell)
    return float(singular_values(cell.weight_hh)[0])


def _factors(trace: Trace, t: int) -> tuple[Array, ...]:
    """Return one step's factors; all at once would cost as much memory as the trace."""
    return trace.cell.factors(tuple(kept[t, ...] for kept in trace.saved))


def _block_indices(cell: Recurrence, block: tuple[str, str]) -> list[int]:
    if not isinstance(block, tuple | list) or len(block) != 2:
        raise ValueError(f"block must be a pair of block names such as ('h', 'h'); got {block!r}")
    for name in block:
        choice("block", name, cell.blocks)
    return [cell.blocks.index(name) for name in block]


def _identity_rows(trace: Trace, rows: slice) -> tuple[Array, Array]:
    """Return rows of the identity as gradients side by side, (rows, B, S), and exponents 0, (B,)."""
    cell, xp = trace.cell, trace.cell.xp
    like = cell.weight_hh
    eye = xp.eye(cell.size, dtype=like.dtype, device=device_of(like))[rows, :]
    product = xp.broadcast_to(eye[:, None, :], (eye.shape[0], trace.batch, cell.size))
    return product, _wide(xp, xp.zeros((trace.batch,), dtype=like.dtype, device=device_of(like)))


def _wide(xp: Any, array: Array) -> Array:
    """Return half precision as float32: it cannot count exponents beyond 2⁸ or 2¹¹, and has no SVD."""
    return xp.astype(array, xp.float32) if xp.finfo(array.dtype).bits < 32 else array


def _rescale(xp: Any, product: Array) -> tuple[Array, Array]:
    """Divide each sequence's product by the power of two below its largest entry; return it and the power."""
    # One axis after the other, the first one first: that way NumPy runs along memory, five times as fast.
    largest = xp.max(xp.max(xp.abs(product), axis=0), axis=-1)
    usable = xp.isfinite(largest) & (largest > 0)
    power = xp.floor(xp.log2(xp.where(usable, largest, xp.ones_like(largest))))
    # Beyond this power the scale itself would not be a normal number; a smaller entry waits one more step.
    limit = math.floor(-math.log2(float(xp.finfo(product.dtype).smallest_normal)))
    power = xp.clip(power, -limit, limit)
    return product * xp.pow(xp.full_like(power, 2.0), -power)[:, None], _wide(xp, power)


def _log_norm(xp: Any, product: Array, ord: str | int, block: tuple[str, str] | None) -> Array:
    """Return the log-norm of each sequence's matrix, −inf for zero, from (rows, B, columns)."""
    product, power = _wide(xp, product), 0.0
    if block is not None:  # may be far below the largest entry of its product, and is squared
        product, power = _rescale(xp, product)
    if ord == 2:
        norm = xp.linalg.svdvals(xp.permute_dims(product, (1, 0, 2)))[:, 0]
    elif ord == "fro":
        norm = xp.sqrt(xp.sum(xp.sum(product * product, axis=0), axis=-1))
    else:
        sums = xp.sum(xp.abs(product), axis=0 if ord == 1 else 2)
        norm = xp.max(sums, axis=1 if ord == 1 else 0)
    zero = norm == 0
    logs = xp.log(xp.where(zero, xp.ones_like(norm), norm)) + power * math.log(2)
    return xp.where(zero, xp.full_like(norm, -math.inf), logs)
