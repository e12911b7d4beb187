"""What the steps of a backward pass leave for parameters and inputs, added up from the last to the first.

All messages of a long sequence stacked would be as much memory as the trace, touched once and given back;
a few steps at a time stay in the processor's cache.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .arrays import Array
from .trace import Trace, cut

__all__ = ["Shares"]

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

    def add(self, deltas: Sequence[Array], d_start: Array) -> None:
        """Add the steps before those added last.

        Parameters
        ----------
        deltas : sequence of Array, each (n, B, …)
            What the backward steps gave beside the state's gradient, stacked, of n steps.
        d_start : Array, shape (B, S)
            ∂L/∂s before the first of them.
        """
        cell, start = self.trace.cell, self.stop - deltas[0].shape[0]
        piece, self.stop = cut(self.trace, start, self.stop), start
        if "parameters" in self.want:
            found = cell.parameter_gradients(piece, deltas)
            before = self.parameters
            self.parameters = found if before is None else {k: before[k] + found[k] for k in found}
        if "inputs" in self.want:
            self._inputs.append(cell.input_gradients(piece, d_start, deltas))
