"""Where the arrays of a task shall live: one place for what every task is asked for."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from ..arrays import Array, convert, resolve_dtype, resolve_namespace

__all__ = ["Place"]


class Place:
    """Library, device and dtype, checked before anything is drawn or read.

    Parameters
    ----------
    xp : module or None
        `numpy` (default), `torch` or any other array API namespace.
    device : optional
        In `xp`'s own words.
    dtype : str or dtype
        Of real numbers; whole numbers are int64.

    Raises
    ------
    TypeError
        `xp` makes no arrays, or `vglib` does not compute in this dtype under it.
    """

    def __init__(self, xp: ModuleType | None, device: Any, dtype: Any) -> None:
        self.xp, self.device = resolve_namespace(xp), device
        self.dtype = resolve_dtype(self.xp, dtype)

    def real(self, values: np.ndarray) -> Array:
        """Return a copy of real numbers."""
        return convert(values, self.xp, self.dtype, self.device)

    def whole(self, values: np.ndarray) -> Array:
        """Return a copy of whole numbers."""
        plain = np.array(values, dtype=np.int64, order="C")
        return self.xp.asarray(plain, dtype=self.xp.int64, device=self.device, copy=True)

    def scaled(self, values: np.ndarray, divisor: int) -> Array:
        """Return bytes / divisor: moved as bytes, and nothing wider is held twice."""
        moved = self.xp.asarray(np.array(values, order="C"), device=self.device, copy=True)
        real = self.xp.astype(moved, self.dtype)
        real /= divisor
        return real
