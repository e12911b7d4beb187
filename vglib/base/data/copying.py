r"""The copy memory task: read ten symbols, wait, and say them again.

    step     0 … 9      10 … T+8   T+9   T+10 … T+19
    input    symbols    blank      go    blank
    target   blank      blank      blank symbols

Above are the usual sizes, ten symbols out of eight. Symbols are 0 … S−1, the blank is S and "go" is S+1, so
that an answer is one of S+1 classes.

Index legend: T the wait, from the last symbol to the first answer; n symbols a sequence, out of S; B
sequences.

Sources: Hochreiter and Schmidhuber (1997); in this form Arjovsky, Shah and Bengio (2016).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from ..arrays import Array, random_stream
from ..errors import whole_number
from .place import Place

__all__ = ["Copying", "copying"]


@dataclass(frozen=True, eq=False)
class Copying:
    """One minibatch of the copy memory task.

    Attributes
    ----------
    x : Array, shape (T + 2n, B, S + 2)
        Inputs, one-hot.
    target : integer Array, shape (T + 2n, B)
        The class to be named at each step: `blank` until the last n.
    symbols, length : int
        S and n.
    """

    x: Array
    target: Array
    symbols: int = 8
    length: int = 10

    @property
    def blank(self) -> int:
        """Class of the blank, S."""
        return self.symbols

    @property
    def go(self) -> int:
        """Input that asks for the answer, S + 1; never a target."""
        return self.symbols + 1

    @property
    def baseline(self) -> float:
        """Mean cross-entropy, n ln S / (T + 2n), of who knows when to speak and guesses what."""
        return self.length * math.log(self.symbols) / self.target.shape[0]

    def __repr__(self) -> str:
        return f"Copying(x {tuple(self.x.shape)}, target {tuple(self.target.shape)})"


def copying(
    steps: int,
    batch: int,
    seed: int = 0,
    index: int = 0,
    xp: ModuleType | None = None,
    device: Any = None,
    dtype: Any = "float64",
    symbols: int = 8,
    length: int = 10,
) -> Copying:
    """Return minibatch number `index` of the copy memory task.

    Parameters
    ----------
    steps : int
        T, the wait: T − 1 blanks and "go".
    batch : int
        B.
    seed, index, xp, device, dtype
        As for `adding`; the dtype is that of x.
    symbols : int
        S, 2 or more.
    length : int
        n.

    Returns
    -------
    Copying

    Raises
    ------
    ValueError, TypeError
        As for `adding`.

    Examples
    --------
    >>> task = copying(steps=100, batch=20)
    >>> task.x.shape, round(task.baseline, 3)
    ((120, 20, 10), 0.173)
    """
    steps, batch = whole_number("steps", steps, 1), whole_number("batch", batch, 1)
    symbols, length = whole_number("symbols", symbols, 2), whole_number("length", length, 1)
    index, place = whole_number("index", index, 0), Place(xp, device, dtype)
    text = random_stream(seed, "copying", index).integers(symbols, size=(length, batch))
    read = np.full((steps + 2 * length, batch), symbols)
    target = read.copy()
    read[:length] = text
    read[length + steps - 1] = symbols + 1
    target[-length:] = text
    return Copying(place.real(np.eye(symbols + 2)[read]), place.whole(target), symbols, length)
