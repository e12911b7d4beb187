r"""From orthogonal matrices back to what `orthogonal_maps` maps, and how far a matrix is from orthogonal.

Index legend: n size of a matrix, G gates, r rows and c columns of one gate's block; σ a singular value.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

from .arrays import Array, check_finite, device_of, to_numpy, widened
from .errors import whole_number
from .orthogonal_maps import check_matrix, check_square, identity_like

__all__ = [
    "check_orthogonal",
    "defect",
    "inverse_cayley",
    "logarithm",
    "nearest",
    "reflections",
    "split_gates",
]


def logarithm(W: Array) -> Array:
    """Return the skew-symmetric A with exp(A) = W and no angle beyond π.

    By square roots: that of a rotation is the orthogonal matrix nearest to I + W. Digits are lost near the
    eigenvalue −1: an angle of π − δ comes back with an error of about ε/δ, at most √ε, where ε is rounding.

    Parameters
    ----------
    W : Array, shape (…, n, n)
        Orthogonal, without the eigenvalue −1 (which every W of determinant −1 has).

    Returns
    -------
    Array, shape (…, n, n)

    Raises
    ------
    TypeError, ValueError
        No array of floats, not square, not orthogonal, or with an eigenvalue −1.
    NonFiniteError
    """
    xp = check_rotation(W)
    eye, roots = identity_like(xp, W), 3
    root = widened(xp, W)
    for _ in range(roots):
        root = nearest(xp, root + eye)
    # log W = 2 artanh X = 2 (X + X³/3 + …), and X is below tan(π/16) = 0.2.
    X = xp.linalg.solve(root + eye, root - eye)
    square, total = xp.matmul(X, X), eye / 27.0
    for odd in range(25, 0, -2):
        total = eye / odd + xp.matmul(square, total)
    A = 2.0 ** (roots + 1) * xp.matmul(X, total)
    return xp.astype((A - xp.matrix_transpose(A)) / 2.0, W.dtype)


def inverse_cayley(W: Array) -> Array:
    """Return the skew-symmetric A with cayley(A) = W: 2(W − I)(W + I)⁻¹.

    Parameters
    ----------
    W : Array, shape (…, n, n)
        Orthogonal, without the eigenvalue −1.

    Returns
    -------
    Array, shape (…, n, n)

    Raises
    ------
    TypeError, ValueError, NonFiniteError
        As `logarithm`.
    """
    xp = check_rotation(W)
    eye, wide = identity_like(xp, W), widened(xp, W)
    A = 2.0 * xp.linalg.solve(wide + eye, wide - eye)
    return xp.astype((A - xp.matrix_transpose(A)) / 2.0, W.dtype)


def reflections(W: Array) -> tuple[Array, Array]:
    """Return V, lower triangular with diagonal 1, and signs, with W = householder(V) · diag(signs).

    Column by column, as QR does it; of the two reflections that clear a column, the one that flips its sign,
    so that no v is small.

    Parameters
    ----------
    W : Array, shape (…, n, n)
        Orthogonal.

    Returns
    -------
    V : Array, shape (…, n, n)
    signs : Array, shape (…, n)
        1 or −1.

    Raises
    ------
    TypeError, ValueError, NonFiniteError
        No array of floats, not square, or not orthogonal.
    """
    xp = check_orthogonal("W", W)
    rest, eye = widened(xp, W), identity_like(xp, W)
    columns, signs = [], []
    for j in range(W.shape[-1]):
        unit = eye[:, j]
        below = xp.astype(xp.arange(W.shape[-1], device=device_of(W)) >= j, rest.dtype)
        column = rest[..., j] * below
        sign = xp.where(column[..., j] < 0, 1.0 + 0.0 * column[..., j], -1.0 + 0.0 * column[..., j])
        v = column - sign[..., None] * unit
        v = v / v[..., j][..., None]
        length = xp.sum(v * v, axis=-1)
        along = xp.matmul(v[..., None, :], rest) * (2.0 / length)[..., None, None]
        rest = rest - v[..., :, None] * along
        columns.append(v)
        signs.append(sign)
    V, signs = xp.stack(columns, axis=-1), xp.stack(signs, axis=-1)
    return xp.astype(V, W.dtype), xp.astype(signs, W.dtype)


def defect(W: Array, gates: int = 1) -> float:
    r"""Return how far from orthogonal a matrix is: ‖WᵀW − I‖₂, the largest \|σ² − 1\| of its singular values.

    Parameters
    ----------
    W : Array, shape (…, G·r, c)
        Of blocks that are wider than high, the rows are looked at instead: ‖WWᵀ − I‖₂.
    gates : int
        G: split into that many blocks of rows, the worst of which counts, as it does of a stack.

    Returns
    -------
    float
        NaN where W is not finite.

    Raises
    ------
    TypeError, ValueError
        No array of floats, fewer than two axes, or rows that do not split into so many blocks.
    """
    xp = check_matrix("W", W)
    blocks = widened(xp, split_gates(xp, "W", W, gates))
    gram = xp.matmul(blocks, xp.matrix_transpose(blocks))
    if blocks.shape[-2] > blocks.shape[-1]:
        gram = xp.matmul(xp.matrix_transpose(blocks), blocks)
    away = gram - identity_like(xp, gram)
    if not bool(xp.all(xp.isfinite(away))):
        return math.nan
    return float(to_numpy(xp.max(xp.linalg.svdvals(away))))


def nearest(xp: ModuleType, W: Array) -> Array:
    """Return the orthogonal matrix nearest to W, its polar factor; widened."""
    left, _, right = xp.linalg.svd(widened(xp, W), full_matrices=False)
    return xp.matmul(left, right)


def split_gates(xp: ModuleType, name: str, W: Array, gates: int) -> Array:
    """Return (…, G·r, c) as (…, G, r, c)."""
    gates = whole_number("gates", gates, 1)
    *stack, rows, columns = W.shape
    if rows % gates:
        raise ValueError(f"gates={gates} does not divide the {rows} rows of {name}, shape {tuple(W.shape)}")
    return xp.reshape(W, (*stack, gates, rows // gates, columns))


def check_orthogonal(name: str, W: Any) -> ModuleType:
    """Raise unless W is square, finite and orthogonal to rounding; return its namespace."""
    xp = check_square(name, W)
    check_finite(name, W, "refuse", first=None)
    away, allowed = defect(W), 16 * W.shape[-1] * float(xp.finfo(W.dtype).eps)
    if away > allowed:
        raise ValueError(
            f"{name} must be orthogonal, WᵀW = I; ‖WᵀW − I‖ is {away:.3g}, more than {allowed:.1g}"
        )
    return xp


def check_rotation(W: Any) -> ModuleType:
    """Raise unless W is orthogonal and I + W can be inverted; return its namespace."""
    xp = check_orthogonal("W", W)
    smallest = float(to_numpy(xp.min(xp.linalg.svdvals(widened(xp, W) + identity_like(xp, W)))))
    if smallest < 16 * W.shape[-1] * float(xp.finfo(W.dtype).eps):
        raise ValueError(
            "W must not have the eigenvalue −1, which no Cayley transform and no unique logarithm reaches; "
            f"I + W has a singular value of {smallest:.1g}. Every W of determinant −1 has it"
        )
    return xp
