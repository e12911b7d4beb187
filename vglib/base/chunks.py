"""Sequences that come in chunks: arrays or callables, traces cut and joined, steps counted from the start.

Index legend: T steps, B sequences, D inputs, H units.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .arrays import Array, check_array, check_finite
from .errors import NonFiniteError, whole_number
from .recurrence import Recurrence, check_cell
from .trace import Trace

__all__ = ["Source", "joined", "later"]


class Source:
    """Inputs and direct derivatives of a long sequence, chunk by chunk, each checked when it comes.

    Parameters
    ----------
    cell : Recurrence
    x : Array, shape (T, B, D), or callable (start, stop) -> Array, shape (stop − start, B, D)
    d_outputs : Array, shape (T, B, H), or callable (start, stop) or (start, stop, outputs) -> Array
    steps : int or None
        T, for a callable x alone.
    nonfinite : {'raise', 'return'}

    Raises
    ------
    ValueError, TypeError, NonFiniteError
        Naming the parameter.
    """

    def __init__(self, cell: Recurrence, x: Any, d_outputs: Any, steps: int | None, nonfinite: str) -> None:
        check_cell(cell)
        self.cell, self.nonfinite = cell, nonfinite
        self.batch: int | None = None
        if _is_callable(x):
            if steps is None:
                raise ValueError("steps must be given when x is a callable; got None")
            self.steps = whole_number("steps", steps, 1)
        else:
            cell.check_input(x, nonfinite)
            if steps is not None and steps != x.shape[0]:
                raise ValueError(f"steps is for a callable x; x has T={x.shape[0]}, steps is {steps!r}")
            self.steps, self.batch = x.shape[:2]
        if not _is_callable(d_outputs):
            axes = [("T", self.steps), ("B", self.batch), ("H", cell.hidden)]
            check_array("d_outputs", d_outputs, axes, like=cell.weight_hh)
            check_finite("d_outputs", d_outputs, nonfinite)
        self._x, self._d_outputs = x, d_outputs
        self._with_outputs = _is_callable(d_outputs) and _takes_three(d_outputs)

    def inputs(self, start: int, stop: int) -> Array:
        """Return x of these steps."""
        if not _is_callable(self._x):
            return self._x[start:stop, ...]
        chunk = self._x(start, stop)
        axes = [("stop − start", stop - start), ("B", self.batch), ("D", self.cell.inputs)]
        check_array("x(start, stop)", chunk, axes, like=self.cell.weight_hh)
        check_finite("x", chunk, self.nonfinite, first=start)
        self.batch = chunk.shape[1]
        return chunk

    def direct(self, start: int, stop: int, trace: Trace) -> Array:
        """Return the direct derivatives by these steps' outputs; `trace` is that of the same steps."""
        if not _is_callable(self._d_outputs):
            return self._d_outputs[start:stop, ...]
        given = (start, stop, trace.outputs) if self._with_outputs else (start, stop)
        chunk = self._d_outputs(*given)
        axes = [("stop − start", stop - start), ("B", trace.batch), ("H", self.cell.hidden)]
        check_array(f"d_outputs({', '.join(_NAMES[: len(given)])})", chunk, axes, like=self.cell.weight_hh)
        check_finite("d_outputs", chunk, self.nonfinite, first=start)
        return chunk


_NAMES = ("start", "stop", "outputs")


def _is_callable(value: Any) -> bool:
    return callable(value) and not hasattr(value, "shape")


def _takes_three(function: Callable[..., Array]) -> bool:
    """Return whether a callable cannot do without a third positional argument."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some built-in callables do not tell
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is inspect.Parameter.empty for p in parameters) == 3


def joined(first: Trace, second: Trace) -> Trace:
    """Return one trace of two, of which the second starts where the first ends."""
    xp = first.cell.xp
    return dataclasses.replace(
        first,
        inputs=xp.concat([first.inputs, second.inputs]),
        states=xp.concat([first.states, second.states[1:, ...]]),
        saved=tuple(xp.concat(list(pair)) for pair in zip(first.saved, second.saved, strict=True)),
    )


@contextmanager
def later(start: int) -> Iterator[None]:
    """Count the step of a `NonFiniteError` from the sequence's beginning, not from the chunk's."""
    try:
        yield
    except NonFiniteError as error:
        if error.step is None or start == 0:
            raise
        raise NonFiniteError(error.tensor, error.step + start, error.detail) from None
