r"""Products of Jacobians: why repeating a step makes gradients vanish or explode.

    ∂s_T/∂s_t = J_{T−1} ⋯ J_t,   J_t = ∂s_{t+1}/∂s_t   (rows for the output)

The steps are moments, or the layers of a deep net (`vglib.resnets`): nothing here asks which.

A product of many matrices leaves the range of any float. `log_norms` therefore carries *one* running product,
rescaled at every step by a power of two, which is exact, and counts the exponents.

Index legend: T steps, B sequences, S state size; t step, q lag; σ a singular value; φ an activation,
γ = max|φ′| its steepest slope.

Sources: Hochreiter (1991); Bengio, Simard and Frasconi (1994); Pascanu, Mikolov and Bengio (2013).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from .base.arrays import (
    QUIET,
    Array,
    check_dtype_name,
    check_finite,
    device_of,
    dtype_name,
    namespace,
    widened,
)
from .base.bounds import PascanuCondition, hochreiter_bound, pascanu_condition
from .base.chain import Chain
from .base.errors import choice, whole_number
from .base.precision import PrecisionLags, precision_lags
from .base.scaled import finite_svdvals, log_of, log_size, matrix_log_norm, rescale
from .base.trace import Trace, check_from_trace, check_trace

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


@QUIET
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
    ValueError
        It is of a deep net whose batch norm couples the samples; the message says what to do.
    """
    _check(trace)
    return trace.cell.jacobians(trace.saved)


def stream(trace: Trace, reverse: bool = False) -> Iterator[Array]:
    """Yield J_0, J_1, … one at a time, each (B, S, S); from the last to the first if `reverse`.

    Raises
    ------
    TypeError, ValueError
        As `steps`.
    """
    _check(trace)
    order = range(trace.steps)
    return (_one_step(trace, t) for t in (reversed(order) if reverse else order))


@QUIET
def log_norms(
    trace: Trace, ord: str | int = "fro", block: tuple[str, str] | None = None, nonfinite: str = "raise"
) -> Array:
    r"""Return log(‖∂s_T/∂s_t‖ / ‖I‖) for every t: how much of a gradient at the end arrives at step t.

    The identity's norm is divided out (√S for 'fro', 1 for the others), so the value is 0 at t = T for every
    norm. For 'fro' it is the root mean square over the singular values: what a random gradient meets.

    One running product is carried backwards as S gradients side by side, memory O(B·S²) beyond the trace. It
    is rescaled each step by an exact power of two, so nothing over- or underflows however long the sequence:
    a product that is exactly zero gives −inf, never NaN. Within one step the dtype's range holds: a slope φ′
    below its smallest number is 0 (in float32 that takes a tanh unit driven beyond 52).

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
        An unknown norm or block; a trace as for `steps`.
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
    _check(trace)
    choice("ord", ord, ORDERS)
    cell = trace.cell
    xp, size = cell.xp, cell.hidden
    rows, columns = slice(None), slice(None)
    if block is not None:
        rows, columns = (slice(i * size, (i + 1) * size) for i in _block_indices(cell, block))
    products = _running_product(trace, 0, trace.steps, rows)
    _, exponent = next(products)  # the identity, whose logarithm is known
    same = block is None or block[0] == block[1]
    logs = [xp.full_like(exponent, 0.0 if same else -math.inf)]
    identity = math.log(size if block else cell.size) / 2 if ord == "fro" else 0.0
    for product, exponent in products:
        norm = matrix_log_norm(xp, product[..., columns], ord, block)
        logs.append(exponent * math.log(2) + norm - identity)
    result = xp.astype(xp.stack(logs[::-1]), cell.like.dtype)
    # −inf is an answer, a product that is exactly zero; NaN and +inf come from a Jacobian.
    answered = xp.where(result == -math.inf, xp.zeros_like(result), result)
    check_from_trace(trace, "jacobians", answered, nonfinite)
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
    check_dtype_name("dtype of jacobians", dtype_name(jacobians.dtype), xp)
    if jacobians.ndim < 2:
        raise ValueError(f"jacobians must have shape (…, S, S); got {tuple(jacobians.shape)}")
    check_finite("jacobians", jacobians, "refuse", first=None)
    return xp.astype(xp.linalg.svdvals(widened(xp, jacobians)), jacobians.dtype)


@QUIET
def log_singular_values(
    trace: Trace, start: int = 0, stop: int | None = None, nonfinite: str = "raise"
) -> Array:
    """Return the logarithms of the singular values of ∂s_stop/∂s_start, largest first.

    Parameters
    ----------
    trace : Trace
        From `bptt.unroll`.
    start, stop : int
        Indices of states, 0 ≤ start ≤ stop ≤ T; stop defaults to T.
    nonfinite : {'raise', 'return'}

    Returns
    -------
    Array, shape (B, S)
        −inf stands for "not resolved": a value below what rounding may have put there, to first order
        S·ε·Σ_t ‖∂s_stop/∂s_t‖ ‖∂s_t/∂s_start‖. Where steps undo one another that is far above ε times the
        largest, and the floor is on the safe side.

    Raises
    ------
    ValueError, TypeError
        A trace as for `steps`, or indices outside it.
    """
    _check(trace)
    stop = trace.steps if stop is None else whole_number("stop", stop, 0)
    start = whole_number("start", start, 0)
    if not start <= stop <= trace.steps:
        raise ValueError(f"start, stop must satisfy 0 ≤ start ≤ stop ≤ T={trace.steps}; got {start}, {stop}")
    cell, xp = trace.cell, trace.cell.xp
    after = []
    for product, exponent in _running_product(trace, start, stop):
        after.append(log_size(xp, product, exponent))
    ahead, grown = next(_running_product(trace, start, start))
    before = [log_size(xp, ahead, grown)]
    for t in range(start, stop):
        step = _one_step(trace, t)
        ahead = xp.permute_dims(xp.matmul(step, xp.permute_dims(ahead, (1, 0, 2))), (1, 0, 2))
        ahead, shift = rescale(xp, ahead)
        grown = grown + shift
        before.append(log_size(xp, ahead, grown))
    check_from_trace(trace, "jacobians", xp.sum(product, axis=0), nonfinite, first=None)
    noise = xp.stack(after[::-1]) + xp.stack(before)
    unit = math.log(cell.size * float(xp.finfo(product.dtype).eps))
    loudest = xp.max(noise, axis=0)
    floor = unit + loudest + xp.log(xp.sum(xp.exp(noise - loudest), axis=0))
    matrices = widened(xp, xp.permute_dims(product, (1, 0, 2)))
    logs = log_of(xp, finite_svdvals(xp, matrices)) + exponent[:, None] * math.log(2)
    # The largest one is always an answer: only in half precision could the bound exceed it.
    resolved = (logs > floor[:, None]) | (logs >= logs[:, :1]) | xp.isnan(logs)
    return xp.astype(xp.where(resolved, logs, xp.full_like(logs, -math.inf)), product.dtype)


@QUIET
def _one_step(trace: Trace, t: int) -> Array:
    return trace.cell.at(t).jacobian(_factors(trace, t))


def _check(trace: Trace) -> None:
    """Raise unless `trace` is a trace, each of whose sequences has Jacobians of its own."""
    check_trace(trace)
    trace.cell.check_jacobians()


def _factors(trace: Trace, t: int) -> tuple[Array, ...]:
    """Return one step's factors; all at once would cost as much memory as the trace."""
    return trace.cell.at(t).factors(tuple(kept[t, ...] for kept in trace.saved))


def _block_indices(cell: Chain, block: tuple[str, str]) -> list[int]:
    if not isinstance(block, tuple | list) or len(block) != 2:
        raise ValueError(f"block must be a pair of block names such as ('h', 'h'); got {block!r}")
    for name in block:
        choice("block", name, cell.blocks)
    return [cell.blocks.index(name) for name in block]


def _running_product(
    trace: Trace, start: int, stop: int, rows: slice = slice(None)
) -> Iterator[tuple[Array, Array]]:
    """Yield ∂s_stop/∂s_t for t = stop … start as (product, exponent): the matrix is product · 2^exponent.

    Products are rows of the matrix as gradients side by side, (rows, B, S); exponents are (B,).
    """
    cell, xp = trace.cell, trace.cell.xp
    like = cell.like
    eye = xp.eye(cell.size, dtype=like.dtype, device=device_of(like))[rows, :]
    product = xp.broadcast_to(eye[:, None, :], (eye.shape[0], trace.batch, cell.size))
    exponent = widened(xp, xp.zeros((trace.batch,), dtype=like.dtype, device=device_of(like)))
    yield product, exponent
    for t in reversed(range(start, stop)):
        product = cell.at(t).backward_step(_factors(trace, t), product)[0]
        product, shift = rescale(xp, product)
        exponent = exponent + shift
        yield product, exponent
