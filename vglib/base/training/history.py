"""What a training run leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["History"]


@dataclass(frozen=True, eq=False, repr=False)
class History:
    """What `fit` recorded. Entry i belongs to step i, the one that learnt from `batch_of(i)`.

    Attributes
    ----------
    loss : numpy.ndarray, shape (n,), float64
        Before the update.
    grad_norm : numpy.ndarray, shape (n,), float64
        Euclidean norm of all gradients together, before clipping.
    clipped : numpy.ndarray, shape (n,), bool
        Whether `clip` made the gradient of some parameter smaller, or finite.
    evaluations : list of dict
        One for each window: `step` (updates done), `loss` (mean over the window), and what `evaluate` gave.
    stopped_at : int or None
        Number of updates after which training ended before its time: `stop` said so, or a number was not
        finite under `nonfinite='stop'`.
    nonfinite_at : int or None
        First step whose loss, or whose gradient as it came to the optimiser, was not finite.
    """

    loss: np.ndarray
    grad_norm: np.ndarray
    clipped: np.ndarray
    evaluations: list[dict[str, Any]]
    stopped_at: int | None = None
    nonfinite_at: int | None = None

    def __repr__(self) -> str:
        parts = [f"{len(self.loss)} steps"]
        if len(self.loss):
            parts.append(f"loss {self.loss[0]:.4g} → {self.loss[-1]:.4g}")
        parts += [f"{int(self.clipped.sum())} clipped", f"{len(self.evaluations)} evaluations"]
        parts += [] if self.stopped_at is None else [f"stopped at {self.stopped_at}"]
        parts += [] if self.nonfinite_at is None else [f"not finite at {self.nonfinite_at}"]
        return f"History({', '.join(parts)})"
