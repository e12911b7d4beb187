r"""Maps onto orthogonal matrices, and what they check.

    skew          X  ↦  L − Lᵀ                       L the part of X below its diagonal
    exponential   A  ↦  exp A                        Aᵀ = −A
    cayley        A  ↦  (I + ½A)(I − ½A)⁻¹           Aᵀ = −A; exp A to second order
    householder   V  ↦  H_1 ⋯ H_k                    H_j = I − 2 v_j v_jᵀ / v_jᵀv_j, V's columns v_j

All take stacks of matrices, (…, n, n). What rounding leaves is put right by one Newton step towards the
nearest orthogonal matrix, W ← W − ½W(WᵀW − I): without it the defect of exp A doubles with every squaring.

Index legend: n size of a matrix, k number of reflections.

Sources: Higham (2005) for the exponential; Joffrain et al. (2006) for the product of reflections.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np

from .arrays import Array, check_dtype_name, check_finite, device_of, dtype_name, namespace, to_numpy, widened

__all__ = [
    "cayley",
    "cayley_of",
    "check_matrix",
    "check_square",
    "exponential",
    "exponential_of",
    "haar",
    "householder",
    "householder_of",
    "identity_like",
    "polished",
    "skew",
    "skew_of",
]

# Diagonal Padé approximant of degree 13, b_j / b_0; good to float64's rounding up to a norm of 5.37.
PADE = [math.comb(13, j) * math.factorial(26 - j) / math.factorial(26) for j in range(14)]
PADE_REACH = 5.37
# After so many squarings a defect of float32's rounding is still small enough for one Newton step.
MANY = 8


def skew(X: Array) -> Array:
    """Return the skew-symmetric matrix that has X below its diagonal: n(n−1)/2 free numbers.

    Parameters
    ----------
    X : Array, shape (…, n, n)
        Its diagonal and what lies above do nothing.

    Returns
    -------
    Array, shape (…, n, n)

    Raises
    ------
    TypeError, ValueError
        No array of floats, or not square.
    """
    xp = check_square("X", X)
    return skew_of(xp, X)


def exponential(A: Array) -> Array:
    """Return exp(A), a rotation, for a skew-symmetric A.

    By the diagonal Padé approximant of degree 13 with scaling and squaring; `cayley` is the one of degree 1.
    Every rotation is reached, the ones with eigenvalue −1 too; no matrix of determinant −1 is.

    Parameters
    ----------
    A : Array, shape (…, n, n)
        Aᵀ = −A; `skew` makes one.

    Returns
    -------
    Array, shape (…, n, n)

    Raises
    ------
    TypeError, ValueError
        No array of floats, not square, or not skew-symmetric.
    NonFiniteError

    References
    ----------
    Higham (2005); Lezcano-Casado and Martínez-Rubio (2019) for its use in recurrent networks.
    """
    xp = check_skew(A)
    return xp.astype(polished(xp, exponential_of(xp, A)), A.dtype)


def cayley(A: Array) -> Array:
    """Return (I + ½A)(I − ½A)⁻¹, a rotation without the eigenvalue −1, for a skew-symmetric A.

    Parameters
    ----------
    A : Array, shape (…, n, n)
        Aᵀ = −A. For small A this is exp(A) up to A³/12.

    Returns
    -------
    Array, shape (…, n, n)

    Raises
    ------
    TypeError, ValueError, NonFiniteError
        As `exponential`.

    References
    ----------
    Helfrich, Willmott and Ye (2018); their A is −½ times this one.
    """
    xp = check_skew(A)
    return xp.astype(polished(xp, cayley_of(xp, A)), A.dtype)


def householder(V: Array) -> Array:
    """Return the product of reflections H_1 ⋯ H_k along the columns of V.

    With S = the part of VᵀV above its diagonal plus half of the diagonal, the product is I − V S⁻¹ Vᵀ: one
    solve in place of k steps. Its determinant is (−1)ᵏ.

    Parameters
    ----------
    V : Array, shape (…, n, k)
        No column is 0; their lengths do nothing.

    Returns
    -------
    Array, shape (…, n, n)

    Raises
    ------
    TypeError, ValueError
        No array of floats, fewer than two axes, or a column that is 0.
    NonFiniteError

    References
    ----------
    Joffrain et al. (2006); Mhammedi et al. (2017) for its use in recurrent networks.
    """
    xp = check_matrix("V", V)
    check_finite("V", V, "refuse", first=None)
    wide = widened(xp, V)
    largest = xp.max(xp.abs(wide), axis=-2, keepdims=True)
    if bool(xp.any(largest == 0)):
        raise ValueError("V must have no column that is 0, along which there is no reflection; it has one")
    # The square of a length may be no number although the length is one.
    return xp.astype(polished(xp, householder_of(xp, wide / largest)), V.dtype)


# -- the same without a check, widened, and not yet polished ----------------------------------------------


def skew_of(xp: ModuleType, X: Array) -> Array:
    """Return `skew(X)`."""
    lower = xp.tril(X, k=-1)
    return lower - xp.matrix_transpose(lower)


def exponential_of(xp: ModuleType, A: Array) -> Array:
    """Return exp(A); NaN for an A that is not finite."""
    eye, wide = identity_like(xp, A), widened(xp, A)
    largest = xp.max(xp.sum(xp.abs(wide), axis=-1))
    # Not through NumPy, to which torch.func's tensors do not go.
    size = float(largest.detach() if hasattr(largest, "detach") else largest)
    squarings = max(0, math.ceil(math.log2(size / PADE_REACH))) if 0 < size < math.inf else 0
    wide = wide * 2.0**-squarings
    A2 = xp.matmul(wide, wide)
    A4 = xp.matmul(A2, A2)
    A6 = xp.matmul(A2, A4)
    b = PADE
    odd = xp.matmul(A6, b[13] * A6 + b[11] * A4 + b[9] * A2) + b[7] * A6 + b[5] * A4 + b[3] * A2 + b[1] * eye
    even = xp.matmul(A6, b[12] * A6 + b[10] * A4 + b[8] * A2) + b[6] * A6 + b[4] * A4 + b[2] * A2 + eye
    odd = xp.matmul(wide, odd)
    W = xp.linalg.solve(even - odd, even + odd)
    for _ in range(squarings):
        W = xp.matmul(W, W)
        if squarings > MANY:
            W = polished(xp, W)
    return W


def cayley_of(xp: ModuleType, A: Array) -> Array:
    """Return `cayley(A)`."""
    eye, half = identity_like(xp, A), widened(xp, A) / 2.0
    return xp.linalg.solve(eye - half, eye + half)


def householder_of(xp: ModuleType, V: Array) -> Array:
    """Return `householder(V)`."""
    wide = widened(xp, V)
    unit = wide / xp.linalg.vector_norm(wide, axis=-2, keepdims=True)
    across = xp.matrix_transpose(unit)
    gram = xp.matmul(across, unit)
    triangle = xp.triu(gram, k=1) + 0.5 * identity_like(xp, gram)
    product = xp.matmul(unit, xp.linalg.solve(triangle, across))
    return identity_like(xp, product) - product


def polished(xp: ModuleType, W: Array) -> Array:
    """Return W after one Newton step towards the nearest orthogonal matrix: a defect ε becomes ¾ε²."""
    away = xp.matmul(xp.matrix_transpose(W), W) - identity_like(xp, W)
    return W - 0.5 * xp.matmul(W, away)


def identity_like(xp: ModuleType, W: Array) -> Array:
    """Return I of the size of W's rows, widened, where W lives."""
    return xp.eye(W.shape[-1], dtype=widened(xp, W).dtype, device=device_of(W))


# -- checks -----------------------------------------------------------------------------------------------


def check_matrix(name: str, value: Any) -> ModuleType:
    """Raise unless `value` is a matrix of floats, or a stack of them; return its namespace."""
    xp = namespace(value, name)
    check_dtype_name(f"{name}'s dtype", dtype_name(value.dtype), xp)
    if value.ndim < 2:
        raise ValueError(f"{name} must have shape (…, rows, columns); got {tuple(value.shape)}")
    if 0 in value.shape:
        raise ValueError(f"{name} must have no empty axis; got shape {tuple(value.shape)}")
    return xp


def check_square(name: str, value: Any) -> ModuleType:
    """Raise unless `value` is a square matrix of floats, or a stack of them; return its namespace."""
    xp = check_matrix(name, value)
    if value.shape[-1] != value.shape[-2]:
        raise ValueError(f"{name} must be square, (…, n, n); got shape {tuple(value.shape)}")
    return xp


def check_skew(A: Any) -> ModuleType:
    """Raise unless A is skew-symmetric and finite; return its namespace."""
    xp = check_square("A", A)
    check_finite("A", A, "refuse", first=None)
    wide = widened(xp, A)
    sum_, size = (float(to_numpy(xp.max(xp.abs(M)))) for M in (wide + xp.matrix_transpose(wide), wide))
    if sum_ > 8 * float(xp.finfo(A.dtype).eps) * size:
        raise ValueError(
            f"A must be skew-symmetric, Aᵀ = −A; A + Aᵀ has an entry of size {sum_:.3g}. "
            "orthogonality.skew(X) makes one of any square X"
        )
    return xp


def haar(gaussian: np.ndarray) -> np.ndarray:
    """Return orthonormal columns (…, n, k), every choice equally likely, from N(0, 1) entries, n ≥ k."""
    q, r = np.linalg.qr(gaussian)
    # QR leaves the signs of R's diagonal to the library; with positive ones Q is unique, and Haar.
    diagonal = np.diagonal(r, axis1=-2, axis2=-1)
    return q * np.where(diagonal < 0, -1.0, 1.0)[..., None, :]
