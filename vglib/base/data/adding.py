r"""The adding problem: two marked numbers among many, and their sum at the end.

    x_t = (u_t, m_t),   u_t ~ U[0, 1],   m_t = 1 at two steps i < T/2 ≤ j and 0 elsewhere
    target = u_i + u_j

Index legend: T steps, B sequences; t time, i and j the marked steps.

Sources: Hochreiter and Schmidhuber (1997); in this form, with the mean squared error, Le, Jaitly and Hinton
(2015) and Arjovsky, Shah and Bengio (2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from ..arrays import Array, random_stream
from ..errors import whole_number
from .place import Place

__all__ = ["Adding", "adding"]


@dataclass(frozen=True, eq=False)
class Adding:
    """One minibatch of the adding problem.

    Attributes
    ----------
    x : Array, shape (T, B, 2)
        The numbers, and the marks.
    target : Array, shape (B,)
        Sum of the two marked numbers, 0 to 2.
    """

    x: Array
    target: Array

    @property
    def baseline(self) -> float:
        """Mean squared error of the best constant answer, 1: the variance 2 · 1/12 of the sum.

        It is 1/6 = 0.1667; papers print 0.1767, which is no variance of this sum.
        """
        return 1 / 6

    def __repr__(self) -> str:
        return f"Adding(x {tuple(self.x.shape)}, target {tuple(self.target.shape)})"


def adding(
    steps: int,
    batch: int,
    seed: int = 0,
    index: int = 0,
    xp: ModuleType | None = None,
    device: Any = None,
    dtype: Any = "float64",
) -> Adding:
    """Return minibatch number `index` of the adding problem.

    A minibatch depends on these arguments alone, so that training that is resumed sees the same data.

    Parameters
    ----------
    steps : int
        T, 2 or more. The first mark lies in steps 0 … ⌊T/2⌋ − 1, the second in the others.
    batch : int
        B.
    seed : int
        Of the endless sequence of minibatches.
    index : int
        Which of them.
    xp, device, dtype
        As for `RNN.init`.

    Returns
    -------
    Adding

    Raises
    ------
    ValueError, TypeError
        A size, seed or index that is no whole number or too small; an unknown library or dtype.

    Examples
    --------
    >>> task = adding(steps=100, batch=20, index=7)
    >>> task.x.shape, task.target.shape
    ((100, 20, 2), (20,))
    """
    steps, batch = whole_number("steps", steps, 2), whole_number("batch", batch, 1)
    index, place = whole_number("index", index, 0), Place(xp, device, dtype)
    stream = random_stream(seed, "adding", index)
    half, sequences = steps // 2, np.arange(batch)
    marks = np.stack([stream.integers(half, size=batch), stream.integers(half, steps, size=batch)])
    x = np.zeros((steps, batch, 2))
    x[..., 0] = stream.random((steps, batch))
    x[marks, sequences, 1] = 1.0
    return Adding(place.real(x), place.real(x[marks, sequences, 0].sum(axis=0)))
