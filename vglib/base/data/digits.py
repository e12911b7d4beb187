"""Handwritten digits as sequences: one row, or one pixel, a step."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from ..arrays import random_stream
from ..errors import choice, whole_number
from .images import Digits, check_order, sequences
from .place import Place

__all__ = ["Digits", "digits"]

TEST_SHARE = 5  # every fifth image of the shuffled set is a test image
SIDE = 8


def digits(
    order: str = "rows",
    split: str = "all",
    seed: int = 0,
    xp: ModuleType | None = None,
    device: Any = None,
    dtype: Any = "float64",
    side: int = SIDE,
    permutation: int | None = None,
) -> Digits:
    """Return the 1,797 handwritten 8 × 8 digits that come with scikit-learn, shuffled, as sequences.

    Parameters
    ----------
    order : {'rows', 'pixels'}
        One row of pixels a step, top first; or one pixel a step, row after row.
    split : {'all', 'train', 'test'}
        A fifth of the shuffled images is for testing.
    seed : int
        Of the shuffle, hence of the split.
    xp, device, dtype
        As for `RNN.init`.
    side : int
        8 or more. Larger images are the same ones, interpolated bilinearly between the centres of the 8 × 8
        pixels and constant beyond the outermost ones. With 28 there are 784 pixels, as many as in MNIST: a
        long sequence, though no more is to be seen in it.
    permutation : int, optional
        Seed of one order of pixels for all images, in place of row after row; only with order 'pixels'. It
        does not depend on `seed`, and takes away what neighbouring pixels tell about each other.

    Returns
    -------
    Digits

    Raises
    ------
    ValueError, TypeError
        An unknown order or split, a side below 8, a permutation of rows, an unknown library or dtype.
    ModuleNotFoundError
        scikit-learn is missing: `pip install "vglib[data]"`.

    References
    ----------
    E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI repository, 1998.
    """
    check_order(order, permutation)
    choice("split", split, ("all", "train", "test"))
    side = whole_number("side", side, SIDE)
    place, stream = Place(xp, device, dtype), random_stream(seed, "digits")
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        message = 'digits need scikit-learn, which carries them: pip install "vglib[data]"'
        raise ModuleNotFoundError(message, name=error.name) from None
    bunch = load_digits()
    shuffled = stream.permutation(len(bunch.target))
    test = np.arange(len(shuffled)) % TEST_SHARE == 0
    chosen = {"all": shuffled, "train": shuffled[~test], "test": shuffled[test]}[split]
    images = bunch.images[chosen] / 16.0  # brightness comes as 0 … 16
    if side != SIDE:
        weights = _interpolation(side)
        images = weights @ images @ weights.T
    return Digits(place.real(sequences(images, order, permutation)), place.whole(bunch.target[chosen]))


def _interpolation(side: int) -> np.ndarray:
    """Return the weights (side, 8) that make `side` pixels of 8, both spread over the same length."""
    centres = np.clip((np.arange(side) + 0.5) * SIDE / side - 0.5, 0, SIDE - 1)
    return np.maximum(0.0, 1.0 - np.abs(centres[:, None] - np.arange(SIDE)))
