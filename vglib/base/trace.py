"""What a forward pass leaves behind, and what a backward pass returns."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .arrays import Array, check_finite, copied
from .chain import Chain
from .errors import NonFiniteError, choice
from .recurrence import Recurrence

if TYPE_CHECKING:
    from .shares import Shares

__all__ = [
    "WANTS",
    "Gradients",
    "Trace",
    "check_from_trace",
    "check_through_time",
    "check_trace",
    "check_want",
    "cut",
    "gathered",
    "merged",
]

WANTS = ("parameters", "inputs", "states")
"""Gradients that a backward pass can be asked for."""


@dataclass(frozen=True, eq=False)
class Trace:
    """A recorded forward pass.

    Attributes
    ----------
    cell : Recurrence, or a net of `vglib.resnets`
        What made it; its weights at that time.
    inputs : Array, shape (T, B, D), or the x of a net
        The array that came, not a copy: do not write to it before the gradients are taken.
    states : Array, shape (T+1, B, S)
        s_0 … s_T, the initial state first: step t leads from `states[t]` to `states[t+1]`.
    saved : tuple of Array, each (T, B, …)
        What the cell keeps for its derivatives; an RNN its pre-activations.
    """

    cell: Chain
    inputs: Array
    states: Array
    saved: tuple[Array, ...]

    @property
    def steps(self) -> int:
        """T; through depth the number of blocks, L."""
        return self.states.shape[0] - 1

    @property
    def batch(self) -> int:
        """B."""
        return self.states.shape[1]

    @property
    def outputs(self) -> Array:
        """h_1 … h_T, (T, B, H): what the layer above sees; `outputs[t]` is made from `inputs[t]`."""
        return self.cell.output(self.states[1:, ...])

    def __repr__(self) -> str:
        return f"Trace({self.cell.letter}={self.steps}, B={self.batch}, cell={self.cell!r})"


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradients of one loss; what was not wanted is None.

    Attributes
    ----------
    parameters : dict of str to Array, or None
        ∂L/∂weight_ih, … by the cell's names, summed over steps and sequences; through depth, where each step
        has its own, (L, …).
    inputs : Array, of the shape of x, or None
    states : Array, shape (T+1, B, S), or None
        Total ∂L/∂s_t; `states[t]` is `states[t+1] @ J[t]` plus the loss's direct derivative.
    initial : Array, shape (B, S)
        ∂L/∂s_0, always there.
    cells : Array, shape (T+1, B, H), or None
        Of an LSTM, with `states`: total ∂L/∂c_t, h_t following c_t, as autograd's `c_t.grad`. The block c of
        `states` holds h_t fixed. At t = 0 the two are one: h_0 and c_0 are given, neither follows the other.
    """

    parameters: dict[str, Array] | None
    inputs: Array | None
    states: Array | None
    initial: Array
    cells: Array | None = None


def check_from_trace(
    trace: Trace, name: str, array: Array, nonfinite: str, first: int | None = 0, backward: bool = True
) -> None:
    """Raise `NonFiniteError` if what was computed from a trace is not finite; blame states or weights first.

    `first` and `backward` are those of `check_finite`.
    """
    try:
        check_finite(name, array, nonfinite, "The gradient explodes.", first, backward)
    except NonFiniteError:
        check_finite("trace.states", trace.states, detail="The forward pass was not finite to begin with.")
        trace.cell.check_weights()  # a ReLU hides one of −∞ on the way forward
        raise


def check_trace(trace: Any) -> None:
    """Raise TypeError unless `trace` is a `Trace`."""
    if not isinstance(trace, Trace):
        raise TypeError(f"trace must be what bptt.unroll returns; got {type(trace).__name__}")


def check_through_time(trace: Any) -> None:
    """Raise TypeError unless `trace` is the `Trace` of a recurrent cell."""
    check_trace(trace)
    if not isinstance(trace.cell, Recurrence):
        raise TypeError(
            f"trace must be of a recurrent cell, whose steps share their weights; got one of "
            f"{type(trace.cell).__name__}, through depth"
        )


def check_want(want: Any) -> tuple[str, ...]:
    """Return what is wanted, one name or several, as a tuple; raise unless each is one of `WANTS`."""
    try:
        names = (want,) if isinstance(want, str) else tuple(want)
    except TypeError:
        raise TypeError(f"want must be a sequence of names; got {want!r}") from None
    for name in names:
        choice("want", name, WANTS)
    return names


def gathered(shares: Shares, states: Array, cells: Array | None, nonfinite: str) -> Gradients:
    """Return what is wanted of the gradients.

    Parameters
    ----------
    shares : Shares
        What all steps leave for parameters and inputs.
    states : Array, shape (T+1, B, S)
        s̄_0 … s̄_T.
    cells : Array, shape (T, B, H), or None
        c̄_1 … c̄_T of a cell that carries a memory.
    """
    trace, want, parameters, inputs = shares.trace, shares.want, shares.parameters, shares.inputs
    cell, xp = trace.cell, trace.cell.xp
    for name, gradient in (parameters or {}).items():
        check_from_trace(trace, f"grads.parameters[{name!r}]", gradient, nonfinite, first=None)
    if inputs is not None:
        check_from_trace(trace, "grads.inputs", inputs, nonfinite)
    if cells is not None:  # nothing stands between h_0 and c_0
        cells = xp.concat([cell.split(states[:1, ...])["c"], cells]) if "states" in want else None
    if cells is not None:
        check_from_trace(trace, "grads.cells", cells, nonfinite)
    # A copy, lest whoever keeps the gradient by the initial state keeps all states with it.
    initial = copied(xp, states[0, ...])
    return Gradients(parameters, inputs, states if "states" in want else None, initial, cells)


def cut(trace: Trace, start: int, stop: int | None = None) -> Trace:
    """Return the trace of the steps from `start` to `stop`, by default the last."""
    stop = trace.steps if stop is None else stop
    if (start, stop) == (0, trace.steps):
        return trace
    return dataclasses.replace(
        trace,
        inputs=trace.inputs[start:stop, ...],
        states=trace.states[start : stop + 1, ...],
        saved=tuple(kept[start:stop, ...] for kept in trace.saved),
    )


def merged(xp: Any, array: Array) -> Array:
    """Merge steps and sequences, the first two axes, so that one flat product serves all."""
    return xp.reshape(array, (array.shape[0] * array.shape[1], *array.shape[2:]))
