"""What finite precision does to a number that is multiplied by the same factor again and again.

Three events, in this order, none of which is "the gradient is zero" except the last:

1. the value leaves the *normal* range: from here on each step loses digits;
2. it *sticks*: a product rounds back to the value it came from, and nothing changes any more;
3. it *is zero*.

A factor above ½ never reaches zero by rounding to nearest: it sticks. (0.9 · 4u = 3.6u rounds to 4u, where u
is the smallest positive number.) A factor above 1 overflows to inf instead, and inf − inf is NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .errors import choice

__all__ = ["FORMATS", "PrecisionLags", "precision_lags"]


@dataclass(frozen=True)
class Format:
    """An IEEE-754 style binary format: p significant bits, exponents from `low` to `high`."""

    bits: int
    low: int
    high: int

    @property
    def tiny(self) -> float:
        """Smallest positive normal number."""
        return 2.0**self.low

    @property
    def smallest(self) -> float:
        """Smallest positive (subnormal) number u."""
        return math.ldexp(1.0, self.low - self.bits + 1)

    def round(self, value: float) -> float:
        """Round a float64 to this format, ties to even."""
        if self.bits == 53 or value == 0.0 or math.isinf(value):
            return value
        _, exponent = math.frexp(value)  # value = m · 2^exponent, ½ ≤ |m| < 1
        unit = max(exponent - 1, self.low) - self.bits + 1
        # Scaling by a power of two is exact in float64, and Python's round goes to even.
        rounded = math.ldexp(float(round(math.ldexp(value, -unit))), unit)
        return math.copysign(math.inf, value) if abs(rounded) >= 2.0 ** (self.high + 1) else rounded


FORMATS = {
    "float16": Format(11, -14, 15),
    "bfloat16": Format(8, -126, 127),
    "float32": Format(24, -126, 127),
    "float64": Format(53, -1022, 1023),
}
"""The formats by the name of their dtype."""


@dataclass(frozen=True)
class PrecisionLags:
    """Lags at which something happens to factorⁿ, None where it never does.

    Attributes
    ----------
    factor : float
        As rounded to the format.
    leaves_normal : int or None
        First n with 0 ≤ |value| < the smallest normal number.
    sticks : int or None
        First n at which the value equals the next one, and is not 0.
    stuck_at : float or None
        Its absolute value there.
    zero : int or None
        First n at which the value is exactly 0.
    overflows : int or None
        First n at which it is infinite.
    """

    dtype: str
    factor: float
    leaves_normal: int | None = None
    sticks: int | None = None
    stuck_at: float | None = None
    zero: int | None = None
    overflows: int | None = None


def precision_lags(factor: float, dtype: str = "float32", max_lag: int = 10_000_000) -> PrecisionLags:
    """Multiply 1 by `factor` in `dtype` until nothing changes any more, and say when what happened.

    The arithmetic of the dtype is carried out step by step: the product of two numbers of a format with at
    most 24 bits is exact in float64, then rounded to the format, ties to even, subnormals kept.

    Parameters
    ----------
    factor : float
        Any finite number; its sign does not matter to the events. Rounded to `dtype` first.
    dtype : {'float16', 'bfloat16', 'float32', 'float64'}
    max_lag : int
        Give up after so many steps.

    Returns
    -------
    PrecisionLags

    Raises
    ------
    ValueError
        An unknown dtype, a factor that is not finite, or nothing has happened by `max_lag`.

    Examples
    --------
    >>> lags = precision_lags(0.9, "float32")
    >>> lags.leaves_normal < lags.sticks, lags.zero
    (True, None)
    """
    choice("dtype", dtype, tuple(FORMATS))
    form = FORMATS[dtype]
    if not math.isfinite(factor):
        raise ValueError(f"factor must be finite; got {factor}")
    scale = abs(form.round(float(factor)))
    value, leaves_normal = 1.0, None
    for lag in range(1, max_lag + 1):
        previous, value = value, form.round(value * scale)
        if leaves_normal is None and value < form.tiny:
            leaves_normal = lag
        if math.isinf(value):
            return PrecisionLags(dtype, scale, overflows=lag)
        if value == 0.0:
            return PrecisionLags(dtype, scale, leaves_normal, zero=lag)
        if value == previous:
            return PrecisionLags(dtype, scale, leaves_normal, sticks=lag - 1, stuck_at=value)
    raise ValueError(f"factor {factor} in {dtype}: nothing has happened by lag {max_lag}; raise max_lag")
