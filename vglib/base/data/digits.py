"""Handwritten digits as sequences: one row, or one pixel, a step."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from ..arrays import Array, convert, random_stream, resolve_namespace
from ..errors import choice

__all__ = ["Digits", "digits"]

TEST_SHARE = 5  # every fifth image of the shuffled set is a test image


@dataclass(frozen=True, eq=False)
class Digits:
    """Digits as sequences.

    Attributes
    ----------
    x : Array, shape (T, N, D)
        Brightness 0 to 1. By rows T = 8 and D = 8; by pixels T = 64 and D = 1.
    labels : integer Array, shape (N,)
        The digit, 0 to 9.
    """

    x: Array
    labels: Array

    def __repr__(self) -> str:
        return f"Digits(x {tuple(self.x.shape)}, labels {tuple(self.labels.shape)})"


def digits(
    order: str = "rows",
    split: str = "all",
    seed: int = 0,
    xp: ModuleType | None = None,
    device: Any = None,
    dtype: Any = "float64",
) -> Digits:
    """Return the 1,797 handwritten 8 × 8 digits that come with scikit-learn, shuffled, as sequences.

    Parameters
    ----------
    order : {'rows', 'pixels'}
        One row of eight pixels a step, top first; or one pixel a step, row after row.
    split : {'all', 'train', 'test'}
        A fifth of the shuffled images is for testing.
    seed : int
        Of the shuffle, hence of the split.
    xp, device, dtype
        As for `RNN.init`.

    Returns
    -------
    Digits

    Raises
    ------
    ValueError
        An unknown order or split.
    ModuleNotFoundError
        scikit-learn is missing: `pip install "vglib[data]"`.

    References
    ----------
    E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI repository, 1998.
    """
    choice("order", order, ("rows", "pixels"))
    choice("split", split, ("all", "train", "test"))
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        message = 'digits need scikit-learn, which carries them: pip install "vglib[data]"'
        raise ModuleNotFoundError(message, name=error.name) from None
    bunch = load_digits()
    shuffled = random_stream(seed, "digits").permutation(len(bunch.target))
    test = np.arange(len(shuffled)) % TEST_SHARE == 0
    chosen = {"all": shuffled, "train": shuffled[~test], "test": shuffled[test]}[split]
    images = bunch.images[chosen] / 16.0  # brightness comes as 0 … 16
    shape = (len(chosen), 8, 8) if order == "rows" else (len(chosen), 64, 1)
    xp = resolve_namespace(xp)
    x = np.ascontiguousarray(np.swapaxes(images.reshape(shape), 0, 1))
    labels = np.asarray(bunch.target[chosen], dtype=np.int64)
    return Digits(convert(x, xp, dtype, device), xp.asarray(labels, device=device))
