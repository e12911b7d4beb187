"""Backward passes that end early: many windows side by side, or one pass with a factor at every state.

Both return messages s̄_{t+1}, summed over the passes that come by; as a backward step is linear, one step of
the sum gives all gradients (`gradients_of`).

Index legend: T steps, B sequences, S state size; N full chunks of k1 steps; window n ends with chunk n.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .arrays import QUIET, Array, device_of
from .shares import Shares
from .trace import Gradients, Trace, check_from_trace, gathered, merged

__all__ = ["carried", "gradients_of", "side_by_side"]

ByStep = Callable[[int], Array]


@QUIET
def side_by_side(trace: Trace, direct: ByStep, k1: int, k2: int) -> tuple[Array, Array]:
    """Return the messages of TBPTT(k1, k2), (T, B, S), and what arrives at s_0, (B, S).

    All windows that end with a full chunk go back together: min(k2, T) calls of the backward step, whatever T
    is, each with N·B rows. A last, shorter chunk has a window of its own.
    """
    cell, xp, steps = trace.cell, trace.cell.xp, trace.steps
    whole = steps // k1
    split = whole * k1
    initial = xp.zeros_like(trace.states[0, ...])
    pieces = []
    if whole:

        def chunks(array: Array) -> Array:
            return xp.reshape(array[:split, ...], (whole, k1, *array.shape[1:]))

        factors = tuple(map(chunks, cell.factors(trace.saved)))
        given = chunks(xp.stack([direct(t) for t in range(split)]))
        message = xp.zeros_like(given[:, 0, ...])
        totals = [message] * k1
        for back in range(min(k2, split)):
            # Window n has come to chunk n − behind, so the last `running` windows are still on their way.
            behind, offset = divmod(back, k1)
            at, running = k1 - 1 - offset, whole - behind
            if behind == 0:
                message = message + given[:, at, ...]
                totals[at] = message
            else:
                added = totals[at][:running, ...] + message
                totals[at] = xp.concat([added, totals[at][running:, ...]])
            here = tuple(merged(xp, f[:running, at, ...]) for f in factors)
            before, _, _ = cell.backward_step(here, merged(xp, message))
            message = xp.reshape(before, message.shape)
            if at == 0:  # the first of them is at s_0
                initial = initial + message[0, ...]
                message = message[1:, ...]
        pieces.append(xp.reshape(xp.stack(totals, axis=1), (split, *initial.shape)))
    if split < steps:
        start, none = max(0, steps - k2), xp.zeros_like(initial)
        bars, end = carried(trace, lambda t: direct(t) if t >= split else none, None, start)
        initial = initial + end if start == 0 else initial
        pieces.append(bars[max(0, split - start) :, ...])
        if split < start:  # k2 is less than this last chunk: nobody goes through its first steps
            pieces.insert(
                -1, xp.zeros((start - split, *initial.shape), dtype=bars.dtype, device=device_of(bars))
            )
        elif start < split:
            old = pieces[0]
            pieces[0] = xp.concat([old[:start, ...], old[start:, ...] + bars[: split - start, ...]])
    return (pieces[0] if len(pieces) == 1 else xp.concat(pieces)), initial


@QUIET
def carried(
    trace: Trace, direct: ByStep, carry: Sequence[float] | None, start: int = 0
) -> tuple[Array, Array]:
    """Return s̄_{t+1} for t = start … T−1, and what arrives at s_start; what crosses s_t is times carry[t]."""
    cell, xp = trace.cell, trace.cell.xp
    factors = cell.factors_by_step(trace.saved)
    nothing = xp.zeros_like(trace.states[0, ...])
    bar, bars = nothing, []
    for t in reversed(range(start, trace.steps)):
        bar = bar + direct(t)
        bars.append(bar)
        bar, _, _ = cell.backward_step(factors(t), bar)
        if carry is not None and carry[t] != 1:
            bar = bar * carry[t] if carry[t] else nothing  # a product with 0 would let NaN through
    return xp.stack(bars[::-1]), bar


@QUIET
def gradients_of(trace: Trace, bars: Array, initial: Array, want: Sequence[str], nonfinite: str) -> Gradients:
    """Return the gradients that messages s̄_{t+1} (T, B, S) leave at the steps they come through."""
    cell, xp = trace.cell, trace.cell.xp
    states = xp.concat([initial[None, ...], bars])
    check_from_trace(trace, "grads.states", states, nonfinite)
    factors = cell.factors(trace.saved)
    _, *deltas = cell.backward_step(tuple(merged(xp, f) for f in factors), merged(xp, bars))
    by_step = [xp.reshape(delta, (trace.steps, trace.batch, -1)) for delta in deltas]
    shares = Shares(trace, want)
    shares.add_stacked(by_step, initial)
    return gathered(shares, states, cell.memory_gradients(factors, bars), nonfinite)
