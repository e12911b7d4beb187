"""Arrays of any kind: find their namespace once, check what came in, move them.

Everything explicit in `vglib` follows the Python array API standard, so the same lines run on NumPy,
on PyTorch tensors (CPU or GPU) and on any other conforming library. Array type, device and dtype of the
result are those of the input; nothing is promoted silently.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any
from zlib import crc32

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj, is_torch_namespace
from array_api_compat import device as device_of

from .errors import NonFiniteError, choice, whole_number

__all__ = [
    "QUIET",
    "Array",
    "check_array",
    "check_finite",
    "convert",
    "device_of",
    "dtype_name",
    "namespace",
    "random_stream",
    "resolve_dtype",
    "resolve_namespace",
    "to_numpy",
    "widened",
]

Array = Any
"""Any array that follows the array API standard: `numpy.ndarray`, `torch.Tensor`, …"""

QUIET = np.errstate(over="ignore", under="ignore", invalid="ignore")
"""Decorator for loops whose results are checked afterwards, with a better message than NumPy's warning."""

FULL_PRECISION = ("float32", "float64")
HALF_PRECISION = ("float16", "bfloat16")


def namespace(array: Array, name: str = "array") -> ModuleType:
    """Return the standard-conforming namespace of `array`.

    Raises
    ------
    TypeError
        `array` is no array (a list, a number, None …).
    """
    if not is_array_api_obj(array):
        raise TypeError(f"{name} must be an array (NumPy, torch, …); got {type(array).__name__}")
    return array_namespace(array)


def resolve_namespace(xp: ModuleType | None) -> ModuleType:
    """Return the standard-conforming namespace for what a user calls `xp`, e.g. `numpy`.

    Raises
    ------
    TypeError
        `xp` is not a module that makes arrays.
    """
    if xp is None:
        xp = np
    try:
        return array_namespace(xp.empty(0))
    except (AttributeError, TypeError):
        raise TypeError(f"xp must be an array module such as numpy or torch; got {xp!r}") from None


def dtype_name(dtype: Any) -> str:
    """Return a dtype's bare name, the same for every library, e.g. 'float32'."""
    if isinstance(dtype, type):  # np.float32 is a class, arr.dtype an instance
        return dtype.__name__
    return str(dtype).rsplit(".", 1)[-1]


def resolve_dtype(xp: ModuleType, dtype: Any) -> Any:
    """Return `xp`'s dtype for a name or a dtype of any library.

    Raises
    ------
    TypeError
        The dtype is none that `vglib` computes in, or `xp` does not have it.
    """
    name = dtype if isinstance(dtype, str) else dtype_name(dtype)
    check_dtype_name("dtype", name, xp)
    return getattr(xp, name)


def check_dtype_name(parameter: str, name: str, xp: ModuleType) -> None:
    """Raise TypeError unless `vglib` computes in dtype `name` under `xp`."""
    allowed = FULL_PRECISION + HALF_PRECISION if is_torch_namespace(xp) else FULL_PRECISION
    if name not in allowed:
        hint = " (half precision needs torch tensors)" if name in HALF_PRECISION else ""
        raise TypeError(f"{parameter} must be one of {', '.join(allowed)}{hint}; got {name}")


def check_array(
    name: str,
    value: Array,
    shape: Sequence[tuple[str, int | None]],
    like: Array | None = None,
    like_name: str = "the cell's weights",
) -> ModuleType:
    """Check rank, sizes, dtype, device and library of one argument; return its namespace.

    Parameters
    ----------
    name : str
        The parameter's name, as the caller wrote it.
    value : Array
        What came.
    shape : sequence of (letter, size)
        One entry an axis; size None means any positive size.
    like : Array, optional
        Library, dtype and device must agree with this one. Nothing is promoted.
    like_name : str
        What `like` is called in a message.

    Raises
    ------
    TypeError
        No array, or another library, dtype or device.
    ValueError
        Wrong rank, wrong size, or an empty axis.
    """
    xp = namespace(value, name)
    check_dtype_name(f"{name}'s dtype", dtype_name(value.dtype), xp)
    if like is not None:
        like_xp = array_namespace(like)
        if xp is not like_xp:
            raise TypeError(
                f"{name} is a {type(value).__module__}.{type(value).__name__} but {like_name} are "
                f"{type(like).__module__}.{type(like).__name__}; convert one of them, e.g. cell.to(xp=…)"
            )
        if value.dtype != like.dtype:
            raise TypeError(
                f"{name} is {dtype_name(value.dtype)} but {like_name} are {dtype_name(like.dtype)}; nothing "
                f"is promoted: convert one of them, e.g. cell.to(dtype='{dtype_name(value.dtype)}')"
            )
        if device_of(value) != device_of(like):
            raise TypeError(
                f"{name} is on device {device_of(value)} but {like_name} are on {device_of(like)}; "
                "move one of them, e.g. cell.to(device=…)"
            )
    expected = ", ".join(letter if size is None else f"{letter}={size}" for letter, size in shape)
    message = f"{name} must have shape ({expected}); got {tuple(value.shape)}"
    if value.ndim != len(shape):
        raise ValueError(f"{message}, which has {value.ndim} axes instead of {len(shape)}")
    for got, (letter, size) in zip(value.shape, shape, strict=True):
        if size is not None and got != size:
            raise ValueError(f"{message}: {letter} is {got}, expected {size}")
        if got == 0:
            raise ValueError(f"{message}: {letter} is empty")
    return xp


def check_finite(
    name: str,
    array: Array,
    nonfinite: str = "raise",
    detail: str = "",
    first: int | None = 0,
    backward: bool = False,
) -> None:
    """Raise `NonFiniteError` at the first index along axis 0 where `array` is not finite.

    Costs one pass over the array and, on a GPU, one wait; two where the sum of finite numbers overflows.

    Parameters
    ----------
    name : str
        What the array is called in a message.
    array : Array
    nonfinite : {'raise', 'return', 'refuse'}
        'return' checks nothing. 'refuse' is 'raise' without the advice to pass 'return', for functions that
        have no such parameter.
    detail : str
        What usually causes it.
    first : int or None
        The step that index 0 stands for; None for an array without a time axis.
    backward : bool
        The array was made from its end, so that the *last* such index is where it began.

    Raises
    ------
    NonFiniteError
        `array` holds inf or NaN.
    ValueError
        Another `nonfinite`.
    """
    if nonfinite != "refuse":  # which no caller hands on, so no message names it
        choice("nonfinite", nonfinite, ("raise", "return"))
    if nonfinite == "return":
        return
    xp = array_namespace(array)
    if _sum_is_finite(xp, array):  # then each is: one pass, and nothing stored
        return
    good = xp.isfinite(array)
    if bool(xp.all(good)):  # large ones, whose sum overflows
        return
    step = None
    if first is not None:
        steps = to_numpy(xp.all(xp.reshape(good, (good.shape[0], -1)), axis=1))
        step = first + int(np.flatnonzero(~steps)[-1 if backward else 0])
    advice = "Pass nonfinite='return' to go on and see it." if nonfinite == "raise" else ""
    raise NonFiniteError(name, step, " ".join(filter(None, (detail, advice))))


@QUIET
def _sum_is_finite(xp: ModuleType, array: Array) -> bool:
    return bool(xp.isfinite(xp.sum(array)))


def to_numpy(array: Array) -> np.ndarray:
    """Return a NumPy array holding the values of `array`, from any library and device."""
    if hasattr(array, "detach"):  # torch: a tensor that requires grad, or lives on a GPU, is refused by NumPy
        array = array.detach().cpu()
        if dtype_name(array.dtype) == "bfloat16":  # which NumPy lacks; float32 holds it exactly
            array = array.float()
    return np.asarray(array)


def convert(array: Array, xp: ModuleType, dtype: Any = None, device: Any = None) -> Array:
    """Return a copy of `array` under `xp`, of the given dtype (a name or xp's own) and device."""
    source = array_namespace(array)
    name = dtype_name(array.dtype) if dtype is None else dtype
    if source is xp:  # stays on its device when none is named
        where = device_of(array) if device is None else device
        plain = array.detach() if hasattr(array, "detach") else array
        return xp.asarray(plain, dtype=resolve_dtype(xp, name), device=where, copy=True)
    plain = np.array(to_numpy(array), order="C")  # torch takes no negative strides
    return xp.asarray(plain, dtype=resolve_dtype(xp, name), device=device, copy=True)


def widened(xp: ModuleType, array: Array) -> Array:
    """Return half precision as float32: it cannot count exponents beyond 2⁸ or 2¹¹, and has no SVD."""
    return xp.astype(array, xp.float32) if xp.finfo(array.dtype).bits < 32 else array


def random_stream(seed: int, name: str, index: int | None = None) -> np.random.Generator:
    """Return a generator for one named use of a seed.

    Two uses of seed 0 are two streams, and every array library is given the same numbers:
    draw here, then `convert`.

    Parameters
    ----------
    seed : int
        0 or more.
    name : str
        Of the use.
    index : int, optional
        Number of a piece, e.g. a minibatch. Piece 7 is the same whether or not 0 … 6 were drawn.

    Raises
    ------
    TypeError, ValueError
        A seed or an index that is no whole number from 0 up.
    """
    words = [whole_number("seed", seed, 0), crc32(name.encode())]
    if index is not None:
        # NumPy fills a short key with zeros, so that a further 0 would be the stream without an index.
        words.append(whole_number("index", index, 0) + 1)
    return np.random.default_rng(words)
