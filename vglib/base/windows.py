"""Which steps a truncated backward pass goes through: arithmetic, no arrays of any library.

Index legend: T steps; window n ends before step e_n = min(n·k1, T); carry z_t at state s_t.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .arrays import random_stream
from .errors import real_number, whole_number

__all__ = ["Window", "check_carry", "each_window", "random_carry", "windows"]


@dataclass(frozen=True)
class Window:
    """One backward pass: through steps `start` … `stop` − 1, with the losses of steps `first` … `stop` − 1.

    Attributes
    ----------
    start, first, stop : int
        start ≤ first < stop. The gradient ends at s_start, which counts as a constant.
    """

    start: int
    first: int
    stop: int

    @property
    def steps(self) -> int:
        """Steps that the pass goes back, which is also how many it must hold."""
        return self.stop - self.start

    def reach(self, step: int) -> int:
        """Return through how many steps the loss of `step` flows back, its own included; 0 if not collected.

        Raises
        ------
        ValueError, TypeError
            `step` is no whole number from 0 on.
        """
        step = whole_number("step", step, 0)
        return step + 1 - self.start if self.first <= step < self.stop else 0


def windows(steps: int, k1: int, k2: int | None = None) -> tuple[Window, ...]:
    """Return the backward passes of TBPTT(k1, k2) over `steps` steps, in the order of time.

    After every k1 steps, and after the last one, a pass goes back k2 steps, or to the beginning. It collects
    the losses since the pass before, as far as it comes.

    Parameters
    ----------
    steps : int
        T.
    k1 : int
        Steps between two passes.
    k2 : int, optional
        Steps that a pass goes back; k1 when absent. With k2 < k1 the losses of the first k1 − k2 steps of
        each chunk are never collected.

    Returns
    -------
    tuple of Window

    Raises
    ------
    ValueError, TypeError
        A number that is not whole, or less than 1.

    Examples
    --------
    >>> windows(5, k1=2, k2=3)
    (Window(start=0, first=0, stop=2), Window(start=1, first=2, stop=4), Window(start=2, first=4, stop=5))
    """
    return tuple(each_window(steps, k1, k2))


def each_window(steps: int, k1: int, k2: int | None = None) -> Iterator[Window]:
    """Return the same one by one, so that a long sequence costs no memory; arguments are checked at once."""
    steps, k1 = whole_number("steps", steps, 1), whole_number("k1", k1, 1)
    k2 = k1 if k2 is None else whole_number("k2", k2, 1)
    stops = (min(begin + k1, steps) for begin in range(0, steps, k1))
    return (Window(max(0, stop - k2), max(0, stop - k2, (stop - 1) // k1 * k1), stop) for stop in stops)


def random_carry(
    steps: int, length: float, seed: int = 0, power: float | None = None, block: int = 1
) -> np.ndarray:
    r"""Draw where a backward pass is cut, and by how much it is raised where it is not.

        z_t = 0 with probability c_t, else 1 / (1 − c_t);      E[z_t | all earlier cuts] = 1

    A gradient that is multiplied by z_t wherever it crosses a state s_t keeps its expectation, and is cut
    into pieces of `length` steps on average.

    Parameters
    ----------
    steps : int
        T.
    length : float
        Mean number of steps between two cuts, more than `block`.
    seed : int
    power : float, optional
        Without it c is constant, so that lengths have an exponential tail, and the second moment of the
        product of q carries, (1 − c)⁻\ :sup:`q`, grows exponentially as well. With it
        c = power / ((power − 1)·length + m) after m steps since the last cut (both in blocks): a tail like
        m⁻\ :sup:`power`, and a second moment that grows like a power of q. More than 1.
    block : int
        Cuts can be at states s_t with t a multiple of it; z_t is 1 at all others.

    Returns
    -------
    numpy array, shape (T,), float64
        z_0 … z_{T−1}; z_0 is 1, since nothing comes before s_0.

    Raises
    ------
    ValueError, TypeError
        A number that is not whole where it must be, or too small.

    References
    ----------
    C. Tallec and Y. Ollivier, Unbiasing truncated backpropagation through time, arXiv:1705.08209, 2017.
    """
    steps, block = whole_number("steps", steps, 1), whole_number("block", block, 1)
    mean = real_number("length", length, block, above=True) / block
    if power is not None:
        power = real_number("power", power, 1, above=True)
    draws = random_stream(whole_number("seed", seed, 0), "truncation.random_carry").random(steps)
    carry = np.ones(steps)
    since = 1
    for t in range(block, steps, block):
        chance = 1 / mean if power is None else power / ((power - 1) * mean + since)
        cut = draws[t] < chance
        carry[t] = 0.0 if cut else 1 / (1 - chance)
        since = 1 if cut else since + 1
    return carry


def check_carry(carry: Sequence[float], steps: int) -> list[float]:
    """Return carries as T floats of Python's; raise unless all are finite and none is negative."""
    try:
        factors = list(map(float, carry if not isinstance(carry, str) else (None,)))
    except (TypeError, ValueError):
        raise TypeError(f"carry must be a sequence of numbers; got {carry!r:.80}") from None
    if len(factors) != steps:
        raise ValueError(f"carry must hold T={steps} numbers; got {len(factors)}")
    for t, z in enumerate(factors):
        if not 0 <= z < math.inf:
            raise ValueError(f"carry must be finite and not negative; got {z} at step {t}")
    return factors
