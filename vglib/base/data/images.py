"""Images as sequences: what the bundled digits and MNIST share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import Array, random_stream
from ..errors import choice, whole_number

__all__ = ["ORDERS", "Digits", "check_order", "sequences"]

ORDERS = ("rows", "pixels")


@dataclass(frozen=True, eq=False)
class Digits:
    """Digits as sequences.

    Attributes
    ----------
    x : Array, shape (T, N, D)
        Brightness 0 to 1. Images of side × side pixels: by rows T = D = side; by pixels T = side², D = 1.
    labels : integer Array, shape (N,)
        The digit, 0 to 9.
    """

    x: Array
    labels: Array

    def __repr__(self) -> str:
        return f"Digits(x {tuple(self.x.shape)}, labels {tuple(self.labels.shape)})"


def check_order(order: str, permutation: int | None) -> None:
    """Raise unless `order` is known and `permutation` is None or the seed of one of pixels.

    Raises
    ------
    ValueError, TypeError
        Naming the parameter.
    """
    choice("order", order, ORDERS)
    if permutation is None:
        return
    whole_number("permutation", permutation, 0)
    if order != "pixels":
        raise ValueError(f"permutation shuffles pixels: it needs order='pixels'; got order={order!r}")


def sequences(images: np.ndarray, order: str, permutation: int | None) -> np.ndarray:
    """Return images (N, side, side) as (T, N, D), all with one order of pixels if asked."""
    count, side, _ = images.shape
    if order == "rows":
        return np.swapaxes(images, 0, 1)
    pixels = images.reshape(count, side * side, 1)
    if permutation is not None:
        pixels = pixels[:, random_stream(permutation, "images.permutation").permutation(side * side)]
    return np.swapaxes(pixels, 0, 1)
