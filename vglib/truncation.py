r"""Truncated backpropagation through time, its bias, and two ways to be rid of it.

    window n:  e_n = min(n·k1, T),  b_n = max(0, e_n − k2)
    L_t        is collected by the one window with e_{n−1} ≤ t < e_n, if t ≥ b_n
    s̄ⁿ_t      = s̄ⁿ_{t+1} J_t + [L_{t−1} is window n's] ∂⁺L_{t−1}/∂s_t      for b_n < t ≤ e_n
    ∂L/∂θ     ≈ Σ_n Σ_{t=b_n}^{e_n−1} s̄ⁿ_{t+1} ∂⁺s_{t+1}/∂θ

So every k1 steps a pass goes back through k2 steps. The state at which it stops counts as a constant: L_t
flows through t + 1 − b_n steps, from k2 for the last loss of a chunk down to k2 − k1 + 1 for the first, and
nothing of it comes to any earlier one. k1 = T and k2 ≥ T is the full gradient.

Index legend: T steps, B sequences, D inputs, H units, S state size; t step, n window; e_n its end, which
it does not include, b_n its start; L_t looks at the output made in step t, h_{t+1}; z_t the factor of a
random cut at s_t.

Sources: Williams and Peng (1990), whose BPTT(h; h′) has h = k2 and h′ = k1; Tallec and Ollivier (2017) for
`randomized`; Griewank (1992) and Chen et al. (2016) for `checkpointed`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .base.arrays import Array, check_array
from .base.chunks import Source, joined, later
from .base.direct import direct_derivatives
from .base.errors import whole_number
from .base.recurrence import Recurrence
from .base.torch_updates import randomized_updates, updates
from .base.trace import WANTS, Gradients, Trace, check_through_time, check_want, cut
from .base.truncated import carried, gradients_of, side_by_side
from .base.windows import Window, check_carry, each_window, random_carry, windows
from .bptt import backprop as full_backprop
from .bptt import unroll

__all__ = [
    "Update",
    "Window",
    "backprop",
    "checkpointed",
    "random_carry",
    "randomized",
    "randomized_updates",
    "stream",
    "updates",
    "windows",
]


@dataclass(frozen=True, eq=False)
class Update:
    """What one window of `stream` gives.

    Attributes
    ----------
    window : Window
        Steps gone through, and the losses collected.
    parameters : dict of str to Array
        This window's share of the gradient.
    state : Array, shape (B, S)
        s at the window's end.
    """

    window: Window
    parameters: dict[str, Array]
    state: Array


def backprop(
    trace: Trace,
    d_outputs: Array | Callable[[int, int], Array],
    k1: int,
    k2: int | None = None,
    want: Sequence[str] = WANTS,
    nonfinite: str = "raise",
) -> Gradients:
    """Return the gradient that TBPTT(k1, k2) computes: the sum over its windows, all with the same weights.

    The windows go back side by side: min(k2, T) calls of the cell's backward step, whatever T is.

    Parameters
    ----------
    trace : Trace
        From `bptt.unroll`.
    d_outputs : Array, shape (T, B, H), or callable (start, stop) -> Array, shape (stop − start, B, H)
        ∂⁺L_t/∂h_{t+1}, as for `bptt.backprop`.
    k1, k2 : int
        Steps between two passes, and steps that a pass goes back; k2 = k1 when absent. See `windows`.
    want, nonfinite
        As for `bptt.backprop`.

    Returns
    -------
    Gradients
        `states[t]` is the sum of what the windows carry at s_t, 0 where none comes by; so is `cells[t]`.

    Raises
    ------
    ValueError, TypeError, NonFiniteError
        As `bptt.backprop` and `windows`.
    """
    want = check_want(want)
    check_through_time(trace)
    k1 = whole_number("k1", k1, 1)
    k2 = k1 if k2 is None else whole_number("k2", k2, 1)
    direct, _ = direct_derivatives(trace.cell, trace.steps, trace.batch, d_outputs, None, nonfinite)
    bars, initial = side_by_side(trace, direct, k1, k2)
    return gradients_of(trace, bars, initial, want, nonfinite)


def randomized(
    trace: Trace,
    d_outputs: Array | Callable[[int, int], Array],
    carry: Sequence[float],
    want: Sequence[str] = WANTS,
    nonfinite: str = "raise",
) -> Gradients:
    r"""Return an unbiased estimate of the full gradient from a backward pass with random cuts.

        s̄_t = z_t · s̄_{t+1} J_t + ∂⁺L/∂s_t

    The expectation over the z of `random_carry` is the gradient of `bptt.backprop`. The price is variance:
    what comes back over q possible cuts is multiplied by a number whose second moment is Π 1/(1 − c_t), which
    for a constant c grows exponentially with q. It stays bounded where the Jacobians shrink faster.

    Parameters
    ----------
    trace, d_outputs, want, nonfinite
        As for `backprop`.
    carry : sequence of float, length T
        z_0 … z_{T−1}, from `random_carry`; all sequences of the batch are cut at the same states.

    Returns
    -------
    Gradients

    Raises
    ------
    ValueError, TypeError, NonFiniteError
        As `backprop`; a carry that is negative or not finite.

    References
    ----------
    C. Tallec and Y. Ollivier, Unbiasing truncated backpropagation through time, arXiv:1705.08209, 2017.
    """
    want = check_want(want)
    check_through_time(trace)
    factors = check_carry(carry, trace.steps)
    direct, _ = direct_derivatives(trace.cell, trace.steps, trace.batch, d_outputs, None, nonfinite)
    bars, initial = carried(trace, direct, factors)
    return gradients_of(trace, bars, initial, want, nonfinite)


def stream(
    cell: Recurrence,
    x: Array | Callable[[int, int], Array],
    d_outputs: Array | Callable[..., Array],
    k1: int,
    k2: int | None = None,
    initial: Array | None = None,
    steps: int | None = None,
    nonfinite: str = "raise",
) -> Iterator[Update]:
    """Yield the windows of TBPTT(k1, k2) one after the other, holding k1 + k2 steps and no more.

    The sum of what is yielded is `backprop`'s. Each step is run once; the state is carried along.

    Parameters
    ----------
    cell : Recurrence
    x : Array, shape (T, B, D), or callable (start, stop) -> Array, shape (stop − start, B, D)
        A callable is asked for one chunk after the other, in order.
    d_outputs : Array, shape (T, B, H), or callable -> Array, shape (stop − start, B, H)
        ∂⁺L_t/∂h_{t+1}. A callable with three parameters is given the outputs h_{t+1} of the chunk as well:
        (start, stop, outputs); one with two is not.
    k1, k2 : int
        As for `windows`.
    initial : Array, shape (B, S), optional
    steps : int, optional
        T, when x is a callable.
    nonfinite : {'raise', 'return'}

    Yields
    ------
    Update

    Raises
    ------
    ValueError, TypeError, NonFiniteError
        As `backprop`; the call itself checks what it can, each chunk is checked when it comes.
    """
    source = Source(cell, x, d_outputs, steps, nonfinite)
    return _stream(source, each_window(source.steps, k1, k2), initial)


def _stream(source: Source, made: Iterator[Window], state: Array | None) -> Iterator[Update]:
    held, xp = None, source.cell.xp
    at = 0
    for window in made:
        x = source.inputs(at, window.stop)
        with later(at):
            chunk = unroll(source.cell, x, state, source.nonfinite)
        given = source.direct(at, window.stop, chunk)[window.first - at :, ...]
        # The states of a chunk are one array: a copy, lest the last row keep all of it.
        state = xp.asarray(chunk.states[-1, ...], copy=True)
        held = chunk if held is None else joined(held, chunk)
        held = cut(held, held.steps - window.steps)
        if window.first > window.start:  # these losses are those of windows before
            none = xp.zeros_like(held.outputs[: window.first - window.start, ...])
            given = xp.concat([none, given])
        with later(window.start):
            grads = full_backprop(held, given, want="parameters", nonfinite=source.nonfinite)
        at = window.stop
        yield Update(window, grads.parameters, state)


def checkpointed(
    cell: Recurrence,
    x: Array | Callable[[int, int], Array],
    d_outputs: Array | Callable[..., Array],
    initial: Array | None = None,
    d_final: Array | None = None,
    want: Sequence[str] = ("parameters",),
    segment: int | None = None,
    steps: int | None = None,
    nonfinite: str = "raise",
) -> Gradients:
    """Return the exact gradients of `bptt.backprop`, without keeping the trace.

    Forward, the state at the start of each segment is stored and nothing else. Backward, one segment after
    the other, the last one first, is run again from there and gone back through. That holds T/segment states
    and one segment's trace, and runs the sequence forward twice.

    Parameters
    ----------
    cell : Recurrence
    x : Array, shape (T, B, D), or callable (start, stop) -> Array, shape (stop − start, B, D)
        A callable is asked for each segment twice and must give the same both times.
    d_outputs : Array, shape (T, B, H), or callable -> Array, shape (stop − start, B, H)
        As for `stream`.
    initial, d_final : Array, shape (B, S), optional
        As for `bptt.unroll` and `bptt.backprop`.
    want : sequence of {'parameters', 'inputs', 'states'}
        'inputs' and 'states' are themselves as long as the sequence.
    segment : int, optional
        Steps between two stored states; √T, rounded up, when absent.
    steps : int, optional
        T, when x is a callable.
    nonfinite : {'raise', 'return'}

    Returns
    -------
    Gradients

    Raises
    ------
    ValueError, TypeError, NonFiniteError
        As `bptt.unroll` and `bptt.backprop`.

    References
    ----------
    A. Griewank, Achieving logarithmic growth of temporal and spatial complexity in reverse automatic
    differentiation, Optimization Methods and Software 1, 1992. T. Chen, B. Xu, C. Zhang and C. Guestrin,
    Training deep nets with sublinear memory cost, arXiv:1604.06174, 2016.
    """
    want = check_want(want)
    source = Source(cell, x, d_outputs, steps, nonfinite)
    if d_final is not None:  # looked at last, so an error would come late
        check_array("d_final", d_final, [("B", source.batch), ("S", cell.size)], like=cell.weight_hh)
    length = math.isqrt(source.steps - 1) + 1 if segment is None else whole_number("segment", segment, 1)
    starts = range(0, source.steps, length)

    def run(start: int, state: Array | None) -> Trace:
        chunk = source.inputs(start, min(start + length, source.steps))
        with later(start):
            return unroll(cell, chunk, state, nonfinite)

    stored = [initial]
    for start in starts[:-1]:
        stored.append(cell.xp.asarray(run(start, stored[-1]).states[-1, ...], copy=True))
    message, parameters = d_final, None
    inputs, states, cells = [], [], []
    for start in reversed(starts):
        trace = run(start, stored.pop())
        given = source.direct(start, start + trace.steps, trace)
        with later(start):
            grads = full_backprop(trace, given, message, want, nonfinite)
        message = grads.initial
        if "parameters" in want:
            new = grads.parameters
            parameters = new if parameters is None else {name: parameters[name] + new[name] for name in new}
        if "inputs" in want:
            inputs.append(grads.inputs)
        if "states" in want:  # the state between two segments is whole in the earlier one, loss included
            states.append(grads.states[1:, ...])
            if grads.cells is not None:
                cells.append(grads.cells[1:, ...] if start else grads.cells)
    if states:
        states.append(message[None, ...])
    whole = [cell.xp.concat(parts[::-1]) if parts else None for parts in (inputs, states, cells)]
    return Gradients(parameters, *whole[:2], message, whole[2])
