r"""Recall of the first symbol: one symbol, a long string of fillers, and the question which symbol it was.

    step     0            1 … T−1
    input    y            fillers
    target   y, asked for after step T−1

Symbols are 0 … S−1 and come first only; fillers are S … S+F−1 and tell nothing. All are equally likely.

Index legend: T steps, so that T − 1 fillers lie between symbol and answer; B sequences; S symbols, F fillers.

Sources: Hochreiter and Schmidhuber (1997); Bengio, Simard and Frasconi (1994), for two symbols.
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

__all__ = ["FirstSymbol", "draw_read", "first_symbol"]


@dataclass(frozen=True, eq=False)
class FirstSymbol:
    """One minibatch of recalling the first symbol.

    Attributes
    ----------
    x : Array, shape (T, B, S + F)
        Inputs, one-hot.
    target : integer Array, shape (B,)
        The symbol that each sequence began with, 0 … S−1.
    symbols : int
        S.
    """

    x: Array
    target: Array
    symbols: int = 8

    @property
    def baseline(self) -> float:
        """Mean cross-entropy, ln S, of who has forgotten."""
        return math.log(self.symbols)

    def __repr__(self) -> str:
        return f"FirstSymbol(x {tuple(self.x.shape)}, target {tuple(self.target.shape)})"


def first_symbol(
    steps: int,
    batch: int,
    seed: int = 0,
    index: int = 0,
    xp: ModuleType | None = None,
    device: Any = None,
    dtype: Any = "float64",
    symbols: int = 8,
    fillers: int = 8,
) -> FirstSymbol:
    """Return minibatch number `index` of recalling the first symbol.

    Parameters
    ----------
    steps : int
        T. With 1 the answer is what was read last.
    batch : int
        B.
    seed, index, xp, device, dtype
        As for `adding`; the dtype is that of x.
    symbols : int
        S, 2 or more.
    fillers : int
        F.

    Returns
    -------
    FirstSymbol

    Raises
    ------
    ValueError, TypeError
        As for `adding`.

    Examples
    --------
    >>> task = first_symbol(steps=100, batch=20)
    >>> task.x.shape, task.target.shape, round(task.baseline, 3)
    ((100, 20, 16), (20,), 2.079)
    """
    steps, batch = whole_number("steps", steps, 1), whole_number("batch", batch, 1)
    symbols, fillers = whole_number("symbols", symbols, 2), whole_number("fillers", fillers, 1)
    index, place = whole_number("index", index, 0), Place(xp, device, dtype)
    read = draw_read(random_stream(seed, "first_symbol", index), symbols, fillers, steps, batch)
    return FirstSymbol(place.real(np.eye(symbols + fillers)[read]), place.whole(read[0]), symbols)


def draw_read(stream: np.random.Generator, symbols: int, fillers: int, steps: int, batch: int) -> np.ndarray:
    """Return what is read, as numbers (T, B): a symbol, then fillers."""
    first = stream.integers(symbols, size=batch)
    read = stream.integers(symbols, symbols + fillers, size=(steps, batch))
    read[0] = first
    return read
