"""Images, as they are and as sequences: what the bundled digits, MNIST and CIFAR-10 share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import Array, random_stream
from ..errors import choice, whole_number

__all__ = ["ORDERS", "Digits", "Images", "check_limit", "check_order", "sequences"]

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


@dataclass(frozen=True, eq=False)
class Images:
    """Colour images as they are.

    Attributes
    ----------
    x : Array, shape (N, 3, side, side)
        Brightness 0 to 1 of red, green and blue, top row first.
    labels : integer Array, shape (N,)
        The class, from 0 up.
    """

    x: Array
    labels: Array

    def __repr__(self) -> str:
        return f"Images(x {tuple(self.x.shape)}, labels {tuple(self.labels.shape)})"


def check_limit(limit: int | None, count: int, split: str) -> None:
    """Raise ValueError unless a split of `count` images has `limit` of them."""
    if limit is not None and limit > count:
        raise ValueError(f"limit must be at most the {count} images of split={split!r}; got {limit}")


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
