r"""Backpropagation through time, written out.

    s_{t+1} = f(x_t, s_t; θ)                     forward, t = 0 … T−1
    s̄_t     = s̄_{t+1} J_t + ∂⁺L/∂s_t              backward (a bar is a total derivative, a row)
    ∂L/∂θ   = Σ_t s̄_{t+1} ∂⁺s_{t+1}/∂θ            every step uses the same θ, so its shares add up

∂⁺ is the *immediate* derivative of Pascanu et al. (2013): everything else in the formula held fixed.

`unroll` and `backprop` also go through depth, where each step is a layer with weights of its own: see
`vglib.resnets`.

Index legend: T steps, B sequences, D inputs, H units, S state size, G gates; t step, k the step whose share
is looked at; δ_t = ∂L/∂(pre-activation of step t), (B, G·H); J_t = ∂s_{t+1}/∂s_t.

Sources: Werbos (1990); Williams and Zipser (1989) for `rtrl`; Pascanu, Mikolov and Bengio (2013).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .base.arrays import QUIET, Array, check_finite, device_of
from .base.chain import Chain, check_chain
from .base.direct import direct_derivatives
from .base.errors import NonFiniteError, choice
from .base.rtrl import rtrl
from .base.shares import Shares, stacked
from .base.trace import (
    WANTS,
    Gradients,
    Trace,
    check_from_trace,
    check_through_time,
    check_trace,
    check_want,
    gathered,
)

__all__ = ["Gradients", "Trace", "backprop", "contributions", "influence", "rtrl", "unroll"]

ByStep = Callable[[int], Array]


@QUIET
def unroll(cell: Chain, x: Array, initial: Array | None = None, nonfinite: str = "raise") -> Trace:
    """Run a cell over sequences, or a deep net over samples, and keep what the backward pass needs.

    Parameters
    ----------
    cell : Recurrence, or a net of `vglib.resnets`
    x : Array, shape (T, B, D)
        Time first; library, dtype and device of the cell's weights. A net takes its own shape of x, as s_0.
    initial : Array, shape (B, S), optional
        s_0 of a cell; zeros when absent.
    nonfinite : {'raise', 'return'}
        What to do when x or a state is not finite.

    Returns
    -------
    Trace

    Raises
    ------
    ValueError, TypeError
        Wrong rank, size, dtype, device or library; an empty sequence.
    NonFiniteError
        Naming the tensor and the first step.
    """
    check_chain(cell)
    state, steps = cell.begin(x, initial, nonfinite)
    states, saved = [state], []
    for step in steps:
        state, keep = step(state)
        states.append(state)
        saved.append(keep)
    xp = cell.xp
    stacked = xp.stack(states)
    try:
        check_finite(
            "states", stacked, nonfinite, "The forward pass overflowed: smaller weights, or float64."
        )
    except NonFiniteError:
        cell.check_weights()
        raise
    return Trace(cell, x, stacked, tuple(xp.stack(kept) for kept in zip(*saved, strict=True)))


@QUIET
def backprop(
    trace: Trace,
    d_outputs: Array | Callable[[int, int], Array] | None = None,
    d_final: Array | None = None,
    want: Sequence[str] = WANTS,
    nonfinite: str = "raise",
) -> Gradients:
    """Return all gradients of a loss in one reverse loop.

    Parameters
    ----------
    trace : Trace
        From `unroll`.
    d_outputs : Array, shape (T, B, H), or callable (start, stop) -> Array, shape (stop − start, B, H)
        ∂⁺L/∂h_{t+1}, the loss's direct derivative by each output, *without* what comes back through later
        steps; zeros where the loss does not look. A callable is asked for one chunk at a time, last first.
        May be left out if d_final says all. Through depth (L, B, S).
    d_final : Array, shape (B, S), optional
        A further direct derivative by the final state, e.g. from the next piece of a sequence, or from what
        stands on the last layer of a deep net.
    want : sequence of {'parameters', 'inputs', 'states'}
        What to compute; less is cheaper.
    nonfinite : {'raise', 'return'}

    Returns
    -------
    Gradients

    Raises
    ------
    ValueError, TypeError
        Arguments that do not fit the trace.
    NonFiniteError
        A gradient overflowed; the message names the step, counted as in `Trace.states`.
    """
    want = check_want(want)
    start = _start(trace, d_outputs, d_final, nonfinite)
    shares = Shares(trace, want)
    states, cells = _reverse(trace, *start, nonfinite, "states" in want, shares)
    return gathered(shares, states, cells, nonfinite)


@QUIET
def contributions(
    trace: Trace, d_outputs: Array, d_final: Array | None = None, nonfinite: str = "raise"
) -> dict[str, Array]:
    """Return each step's share of the parameter gradient: ∂L/∂θ = Σ_k share[k].

    Share k is Pascanu's s̄_{k+1} ∂⁺s_{k+1}/∂θ: the gradient if θ could be changed at step k alone. Far
    shares are small when gradients vanish, and their sum hides it. Sequences are summed.

    Parameters
    ----------
    trace, d_outputs, d_final, nonfinite
        As for `backprop`.

    Returns
    -------
    dict of str to Array, shape (T, *shape of the parameter)

    Raises
    ------
    ValueError, TypeError, NonFiniteError
        As `backprop`.
    """
    check_through_time(trace)
    start = _start(trace, d_outputs, d_final, nonfinite)
    cell = trace.cell
    *_, delta_in, delta_rec = _reverse(trace, *start, nonfinite)
    shares = cell.weight_gradients(delta_in, delta_rec, trace.inputs, cell.output(trace.states[:-1, ...]))
    for name, share in shares.items():
        check_from_trace(trace, f"contributions[{name!r}]", share, nonfinite)
    return shares


@QUIET
def influence(trace: Trace, d_outputs: Array, weight: str = "weight_hh", nonfinite: str = "raise") -> Array:
    """Return how much step k adds to the gradient of the loss at step t, for all pairs.

    With L = Σ_t L_t and L_t a function of h_{t+1}, the entry is the Frobenius norm of
    ∂L_t/∂h_{t+1} · ∂h_{t+1}/∂s_{k+1} · ∂⁺s_{k+1}/∂W, and 0 for k > t: the future has no influence.

    Parameters
    ----------
    trace : Trace
    d_outputs : Array, shape (T, B, H)
        Row t is ∂L_t/∂h_{t+1}.
    weight : {'weight_hh', 'weight_ih'}
        W. (With s_0 = 0 the first step adds nothing to W_hh.)
    nonfinite : {'raise', 'return'}

    Returns
    -------
    Array, shape (T, T, B)
        Axes: loss step t, contributing step k, sequence. Memory about T²·B·(S + G·H).

    Raises
    ------
    ValueError, TypeError, NonFiniteError
        As `backprop`.
    """
    check_through_time(trace)
    choice("weight", weight, ("weight_hh", "weight_ih"))
    direct, start = _start(trace, d_outputs, None, nonfinite)
    cell, xp = trace.cell, trace.cell.xp
    # T losses travel back side by side; loss t joins at its own step.
    rows = xp.eye(trace.steps, dtype=start.dtype, device=device_of(start))
    losses = xp.zeros((trace.steps, *start.shape), dtype=start.dtype, device=device_of(start))
    *_, delta_in, delta_rec = _reverse(
        trace, lambda t: rows[t, :][:, None, None] * direct(t)[None, ...], losses, nonfinite
    )
    if weight == "weight_hh":
        delta, source = delta_rec, cell.output(trace.states[:-1, ...])
    else:
        delta, source = delta_in, trace.inputs
    # δ xᵀ is an outer product: its Frobenius norm is the product of the two lengths.
    lengths = _lengths(xp, delta) * _lengths(xp, source)[:, None, :]
    check_from_trace(trace, "influence", lengths, nonfinite)
    return xp.permute_dims(lengths, (1, 0, 2))


@QUIET
def _reverse(
    trace: Trace,
    direct: ByStep,
    state_bar: Array,
    nonfinite: str,
    memory: bool = False,
    shares: Shares | None = None,
) -> tuple[Array | None, ...]:
    """Run the one reverse loop.

    Returns s̄ (T+1, …, S), and c̄_1 … c̄_T (T, …, H) if `memory` is asked for and there is one, else None. What
    else the backward steps gave goes to `shares`; without it, it is returned behind, each (T, …).
    """
    cell, xp = trace.cell, trace.cell.xp
    factors = cell.factors_by_step(trace.saved)
    bars, cells, rows = [], [], []
    for t in reversed(range(trace.steps)):
        state_bar = state_bar + direct(t)
        bars.append(state_bar)
        here = factors(t)
        if memory:
            cells.append(cell.memory_gradients(here, state_bar))
        state_bar, *deltas = cell.at(t).backward_step(here, state_bar)
        rows.append(deltas)
        if shares is not None and (t == 0 or shares.enough(rows)):
            shares.add(rows, state_bar)
            rows = []
    bars.append(state_bar)
    states = xp.stack(bars[::-1])
    check_from_trace(trace, "grads.states", states, nonfinite)
    total = None if not cells or cells[0] is None else xp.stack(cells[::-1])
    return states, total, *(stacked(xp, rows) if rows else ())


def _start(trace: Trace, d_outputs: Any, d_final: Array | None, nonfinite: str) -> tuple[ByStep, Array]:
    """Return what `_reverse` starts from, every argument checked, the trace first."""
    check_trace(trace)
    return direct_derivatives(trace.cell, trace.steps, trace.batch, d_outputs, d_final, nonfinite)


def _lengths(xp: Any, vectors: Array) -> Array:
    """Return Euclidean lengths along the last axis; no square under- or overflows."""
    largest = xp.max(xp.abs(vectors), axis=-1, keepdims=True)
    scale = xp.where(largest > 0, largest, xp.ones_like(largest))
    return xp.linalg.vector_norm(vectors / scale, axis=-1) * scale[..., 0]
