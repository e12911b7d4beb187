"""What the steps of a backward pass leave for parameters and inputs, added up from the last to the first.

All messages of a long sequence stacked would be as much memory as the trace, touched once and given back;
a few steps at a time stay in the processor's cache.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType

from .arrays import Array
from .trace import Trace, cut

__all__ = ["Shares", "stacked"]

HELD = 2**18
"""Numbers of a message that are held before they are added up."""


class Shares:
    """Gradients of parameters and inputs, of the steps that have been added.

    Parameters
    ----------
    trace : Trace
    want : sequence of {'parameters', 'inputs', 'states'}
        What to add up; the states are not among it.

    Attributes
    ----------
    parameters : dict of str to Array, or None
        None if not wanted, or nothing was added.
    """

    def __init__(self, trace: Trace, want: Sequence[str]) -> None:
        self.trace, self.want, self.stop = trace, want, trace.steps
        self.parameters: dict[str, Array] | None = None
        self._inputs: list[Array] = []

    @property
    def inputs(self) -> Array | None:
        """∂L/∂x, None if not wanted."""
        if len(self._inputs) < 2:
            return self._inputs[0] if self._inputs else None
        return self.trace.cell.xp.concat(self._inputs[::-1])

    def enough(self, rows: Sequence[Sequence[Array]]) -> bool:
        """Return whether what these steps' backward steps gave is worth a product."""
        return self.trace.cell.adds_up and len(rows) * math.prod(rows[0][0].shape) >= HELD

    def add(self, rows: Sequence[Sequence[Array]], d_start: Array) -> None:
        """Add the steps before those added last.

        Parameters
        ----------
        rows : sequence of sequence of Array, each (B, …)
            What each backward step gave beside the state's gradient, the last step first.
        d_start : Array, shape (B, S)
            ∂L/∂s before the first of them.
        """
        if "parameters" in self.want or "inputs" in self.want:  # else a stack of all messages for nothing
            self.add_stacked(stacked(self.trace.cell.xp, rows), d_start)

    def add_stacked(self, deltas: Sequence[Array], d_start: Array) -> None:
        """Do the same with what n steps gave in the order of time, each (n, B, …)."""
        cell, start = self.trace.cell, self.stop - deltas[0].shape[0]
        piece, self.stop = cut(self.trace, start, self.stop), start
        if "parameters" in self.want:
            found = cell.parameter_gradients(piece, deltas)
            before = self.parameters
            self.parameters = found if before is None else {k: before[k] + found[k] for k in found}
        if "inputs" in self.want:
            self._inputs.append(cell.input_gradients(piece, d_start, deltas))


def stacked(xp: ModuleType, rows: Sequence[Sequence[Array]]) -> list[Array]:
    """Return what the steps gave, the last first, as arrays (n, …) in the order of time."""
    columns = list(zip(*reversed(rows), strict=True))
    stacks: dict[int, Array] = {}
    for column in columns:  # an RNN returns one array for both of its sides
        if id(column[0]) not in stacks:
            stacks[id(column[0])] = xp.stack(column)
    return [stacks[id(column[0])] for column in columns]
