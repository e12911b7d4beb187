"""The loss's direct derivatives ∂⁺L/∂s: checked once, handed to a loop step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .arrays import Array, check_array, check_finite
from .chain import Chain

__all__ = ["direct_derivatives"]


def direct_derivatives(
    cell: Chain,
    steps: int,
    batch: int,
    d_outputs: Array | Callable[[int, int], Array] | None,
    d_final: Array | None = None,
    nonfinite: str = "raise",
) -> tuple[Callable[[int], Array], Array]:
    """Return t ↦ ∂⁺L/∂s_{t+1} (B, S), and the further derivative by s_T (B, S).

    Parameters
    ----------
    cell : Chain
    steps, batch : int
        T and B.
    d_outputs : Array, shape (T, B, H), or callable (start, stop) -> Array, shape (stop − start, B, H)
        None stands for zeros, where d_final is given.
    d_final : Array, shape (B, S), optional
    nonfinite : {'raise', 'return'}

    Raises
    ------
    ValueError, TypeError, NonFiniteError
        Naming the parameter.
    """
    axes = [("B", batch), ("H", cell.hidden)]
    if d_outputs is None:
        if d_final is None:
            raise TypeError("d_outputs must be an array or a callable, unless a d_final says all; got None")
        nothing = cell.output(cell.initial(batch))

        def output_bar(t: int) -> Array:
            return nothing

    elif callable(d_outputs) and not hasattr(d_outputs, "shape"):
        output_bar = _by_chunk(cell, steps, d_outputs, axes, nonfinite)
    else:
        check_array("d_outputs", d_outputs, [(cell.letter, steps), *axes], like=cell.like)
        check_finite("d_outputs", d_outputs, nonfinite)

        def output_bar(t: int) -> Array:
            return d_outputs[t, ...]

    if d_final is None:
        start = cell.initial(batch)
    else:
        check_array("d_final", d_final, [("B", batch), ("S", cell.size)], like=cell.like)
        check_finite("d_final", d_final[None, ...], nonfinite, first=steps)
        start = d_final
    if cell.size == cell.hidden:
        return output_bar, start
    rest = cell.initial(batch)[:, cell.hidden :]  # the loss sees the block h alone
    return lambda t: cell.xp.concat([output_bar(t), rest], axis=-1), start


def _by_chunk(
    cell: Chain, steps: int, d_outputs: Callable, axes: list, nonfinite: str
) -> Callable[[int], Array]:
    """Turn (start, stop) ↦ chunk into t ↦ row, holding one chunk of about √T steps at a time."""
    length = max(1, round(steps**0.5))
    held: dict[str, Any] = {"start": 0, "stop": 0, "chunk": None}

    def output_bar(t: int) -> Array:
        if not held["start"] <= t < held["stop"]:
            forward = t == held["stop"]  # `rtrl` comes from the front
            start, stop = (t, min(steps, t + length)) if forward else (max(0, t + 1 - length), t + 1)
            chunk = d_outputs(start, stop)
            rows = [("stop − start", stop - start), *axes]
            check_array("d_outputs(start, stop)", chunk, rows, cell.like)
            check_finite("d_outputs", chunk, nonfinite, first=start)
            held.update(start=start, stop=stop, chunk=chunk)
        return held["chunk"][t - held["start"], ...]

    return output_bar
