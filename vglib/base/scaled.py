"""Matrices of any size of number: a product near 1, and the power of two that was taken out of it.

Index legend: B sequences; a product is (rows, B, columns), so that it travels through a cell's backward step
as gradients side by side; its exponents are (B,).
"""

from __future__ import annotations

import math
from typing import Any

from .arrays import Array, widened

__all__ = ["finite_svdvals", "log_of", "log_size", "matrix_log_norm", "rescale"]


def rescale(xp: Any, product: Array) -> tuple[Array, Array]:
    """Divide each sequence's product by the power of two below its largest entry; return it and the power."""
    # One axis after the other, the first one first: that way NumPy runs along memory, five times as fast.
    largest = xp.max(xp.max(xp.abs(product), axis=0), axis=-1)
    usable = xp.isfinite(largest) & (largest > 0)
    power = xp.floor(xp.log2(xp.where(usable, largest, xp.ones_like(largest))))
    # Beyond this power the scale itself would not be a normal number; a smaller entry waits one more step.
    limit = math.floor(-math.log2(float(xp.finfo(product.dtype).smallest_normal)))
    power = xp.clip(power, -limit, limit)
    return product * xp.pow(xp.full_like(power, 2.0), -power)[:, None], widened(xp, power)


def matrix_log_norm(xp: Any, product: Array, ord: str | int, block: tuple[str, str] | None) -> Array:
    """Return the log-norm of each sequence's matrix, −inf for zero, from (rows, B, columns)."""
    product, power = widened(xp, product), 0.0
    if block is not None:  # may be far below the largest entry of its product, and is squared
        product, power = rescale(xp, product)
    if ord == 2:
        norm = finite_svdvals(xp, xp.permute_dims(product, (1, 0, 2)))[:, 0]
    elif ord == "fro":
        squares = xp.sum(xp.sum(product * product, axis=0), axis=-1)
        return 0.5 * log_of(xp, squares) + power * math.log(2)
    else:
        sums = xp.sum(xp.abs(product), axis=0 if ord == 1 else 2)
        norm = xp.max(sums, axis=1 if ord == 1 else 0)
    return log_of(xp, norm) + power * math.log(2)


def log_of(xp: Any, size: Array) -> Array:
    """Return log(size), −inf at 0 without a warning, and without NaN in autograd."""
    zero = size == 0
    logs = xp.log(xp.where(zero, xp.ones_like(size), size))
    return xp.where(zero, xp.full_like(logs, -math.inf), logs)


def finite_svdvals(xp: Any, matrices: Array) -> Array:
    """Return singular values, NaN for a matrix that is not finite: libraries raise errors of their own."""
    finite = xp.all(xp.all(xp.isfinite(matrices), axis=-1), axis=-1)
    sigma = xp.linalg.svdvals(xp.where(finite[:, None, None], matrices, xp.zeros_like(matrices)))
    return xp.where(finite[:, None], sigma, xp.full_like(sigma, math.nan))


def log_size(xp: Any, product: Array, exponent: Array) -> Array:
    """Return the log of the Frobenius norm of a product and its exponents, (B,)."""
    return matrix_log_norm(xp, product, "fro", None) + exponent * math.log(2)
