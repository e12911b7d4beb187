"""What goes wrong, said so that a reader can act: what came, what was expected, which parameter."""

from __future__ import annotations

import math
import numbers
import operator
from typing import Any

__all__ = ["NonFiniteError", "choice", "kind_of", "real_number", "whole_number"]


class NonFiniteError(ValueError):
    """A number that is not finite, with the place where it first appears.

    Parameters
    ----------
    tensor : str
        Name of the array, as the caller knows it.
    step : int or None
        First time step that holds inf or NaN (the last one, in an array made from its end); None for an
        array without a time axis.
    detail : str, optional
        What usually causes it, or what to do.
    """

    def __init__(self, tensor: str, step: int | None = None, detail: str = "") -> None:
        self.tensor, self.step, self.detail = tensor, step, detail
        where = "" if step is None else f", first at step {step}"
        hint = f" {detail}" if detail else ""
        super().__init__(f"{tensor} is not finite (inf or NaN){where}; expected finite numbers.{hint}")

    def __reduce__(self) -> tuple[Any, ...]:
        # The default hands the message alone to __init__; an error that cannot be unpickled ends a worker.
        return type(self), (self.tensor, self.step, self.detail)


def kind_of(value: Any) -> str:
    """Return a value's kind for a message, with its module: there is more than one LSTM."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def choice(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Raise ValueError unless `value` is one of `allowed`.

    Raises
    ------
    ValueError
        Naming the parameter, what came and what is allowed.
    """
    # Arrays compare elementwise, so only strings and whole numbers can be a choice; True is no 1.
    if isinstance(value, bool) or not isinstance(value, str | int) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}; got {value!r}")


def whole_number(name: str, value: Any, low: int) -> int:
    """Return `value` as an int of Python.

    Raises
    ------
    TypeError
        It is no whole number (True is none).
    ValueError
        It is less than `low`.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise TypeError(f"{name} must be an integer; got {value!r}")
    if number < low:
        raise ValueError(f"{name} must be at least {low}; got {number}")
    return number


def real_number(name: str, value: Any, low: float, above: bool = False) -> float:
    """Return `value` as a float of Python.

    Raises
    ------
    TypeError
        It is no real number (True is none, nor is an array).
    ValueError
        It is not finite, less than `low`, or `above` is asked for and it is `low` itself.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number; got {value!r}")
    try:
        number = float(value)
    except OverflowError:  # an integer beyond 10³⁰⁸
        number = math.inf
    if not math.isfinite(number) or number < low or (above and number == low):
        bound = "" if low == -math.inf else f" and {'above' if above else 'at least'} {low:g}"
        raise ValueError(f"{name} must be finite{bound}; got {value!r}")
    return number
