"""What a forward pass leaves behind, and what a backward pass returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .arrays import Array, check_finite
from .errors import NonFiniteError, choice
from .recurrence import Arrays, Recurrence

__all__ = [
    "WANTS",
    "Gradients",
    "Trace",
    "check_from_trace",
    "check_trace",
    "check_want",
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
    cell : Recurrence
        The cell that made it; its weights at that time.
    inputs : Array, shape (T, B, D)
        The array that came, not a copy: do not write to it before the gradients are taken.
    states : Array, shape (T+1, B, S)
        s_0 … s_T, the initial state first: step t leads from `states[t]` to `states[t+1]`.
    saved : tuple of Array, each (T, B, …)
        What the cell keeps for its derivatives; an RNN its pre-activations.
    """

    cell: Recurrence
    inputs: Array
    states: Array
    saved: tuple[Array, ...]

    @property
    def steps(self) -> int:
        """T."""
        return self.inputs.shape[0]

    @property
    def batch(self) -> int:
        """B."""
        return self.inputs.shape[1]

    @property
    def outputs(self) -> Array:
        """h_1 … h_T, (T, B, H): what the layer above sees; `outputs[t]` is made from `inputs[t]`."""
        return self.cell.output(self.states[1:, ...])

    def __repr__(self) -> str:
        return f"Trace(T={self.steps}, B={self.batch}, cell={self.cell!r})"


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradients of one loss; what was not wanted is None.

    Attributes
    ----------
    parameters : dict of str to Array, or None
        ∂L/∂weight_ih, … by the cell's names, summed over steps and sequences.
    inputs : Array, shape (T, B, D), or None
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
    """Raise `NonFiniteError` if what was computed from a trace is not finite; blame the trace where it is.

    `first` and `backward` are those of `check_finite`.
    """
    try:
        check_finite(name, array, nonfinite, "The gradient explodes.", first, backward)
    except NonFiniteError:
        check_finite("trace.states", trace.states, detail="The forward pass was not finite to begin with.")
        raise


def check_trace(trace: Any) -> None:
    """Raise TypeError unless `trace` is a `Trace`."""
    if not isinstance(trace, Trace):
        raise TypeError(f"trace must be what bptt.unroll returns; got {type(trace).__name__}")


def check_want(want: Any) -> tuple[str, ...]:
    """Return what is wanted, one name or several, as a tuple; raise unless each is one of `WANTS`."""
    try:
        names = (want,) if isinstance(want, str) else tuple(want)
    except TypeError:
        raise TypeError(f"want must be a sequence of names; got {want!r}") from None
    for name in names:
        choice("want", name, WANTS)
    return names


def gathered(
    trace: Trace,
    factors: Arrays,
    states: Array,
    delta_in: Array,
    delta_rec: Array,
    want: Sequence[str],
    nonfinite: str,
) -> Gradients:
    """Return what is wanted of the gradients, from s̄ (T+1, B, S) and both sides' δ (T, B, G·H)."""
    cell, xp = trace.cell, trace.cell.xp
    parameters = inputs = cells = None
    if "parameters" in want:  # one product over steps and sequences at once
        h = cell.output(trace.states[:-1, ...])
        flat = (merged(xp, array) for array in (delta_in, delta_rec, trace.inputs, h))
        parameters = cell.weight_gradients(*flat)
        for name, gradient in parameters.items():
            check_from_trace(trace, f"grads.parameters[{name!r}]", gradient, nonfinite, first=None)
    if "inputs" in want:
        inputs = xp.matmul(delta_in, cell.weight_ih)
        check_from_trace(trace, "grads.inputs", inputs, nonfinite)
    if "states" in want:
        cells = cell.memory_gradients(factors, states)
        if cells is not None:
            check_from_trace(trace, "grads.cells", cells, nonfinite)
    # A copy, lest whoever keeps the gradient by the initial state keeps all states with it.
    initial = xp.asarray(states[0, ...], copy=True)
    return Gradients(parameters, inputs, states if "states" in want else None, initial, cells)


def merged(xp: Any, array: Array) -> Array:
    """Merge steps and sequences, the first two axes, so that one flat product serves all."""
    return xp.reshape(array, (array.shape[0] * array.shape[1], *array.shape[2:]))
