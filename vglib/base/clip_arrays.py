"""What clipping asks of its arguments, and norms that neither over- nor underflow on the way.

Index legend: g an array of gradients, p order of the norm, η threshold.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .arrays import Array, check_array, check_finite, convert, device_of, dtype_name, namespace

__all__ = [
    "check_all_finite",
    "check_norm_type",
    "check_threshold",
    "excluded",
    "relative_norm",
    "take_apart",
    "threshold",
    "unit_norms",
]


def take_apart(
    name: str, given: Any, mapping: bool = False
) -> tuple[list[str], list[Array], Callable[[list[Array]], Any]]:
    """Return what each array is called, the arrays, and a function that puts others in their places.

    Raises
    ------
    ValueError, TypeError
        Nothing in it, no arrays, or arrays of several kinds.
    """
    if isinstance(given, Mapping):
        keys = list(given)
        names, arrays = [f"{name}[{key!r}]" for key in keys], [given[key] for key in keys]

        def rebuild(new: list[Array]) -> Any:
            return dict(zip(keys, new, strict=True))

    elif mapping:
        raise TypeError(f"{name} must map names to arrays; got {type(given).__name__}")
    elif isinstance(given, list | tuple):
        names, arrays = [f"{name}[{i}]" for i in range(len(given))], list(given)
        rebuild = getattr(given, "_make", type(given))
    else:
        names, arrays, rebuild = [name], [given], lambda new: new[0]
    if not arrays:
        raise ValueError(f"{name} must hold at least one array; got none")
    for one, array in zip(names, arrays, strict=True):
        namespace(array, one)
        if str(getattr(array, "layout", "torch.strided")) != "torch.strided":
            raise TypeError(f"{one} must be dense; got {array.layout}")
        check_array(one, array, [("n", None)] * array.ndim, like=arrays[0], like_name=names[0])
    return names, arrays, rebuild


def check_all_finite(names: Sequence[str], arrays: Sequence[Array], nonfinite: str) -> None:
    """Raise `NonFiniteError` with the name of the first array that is not finite, if `nonfinite` says so."""
    if nonfinite == "raise":
        for name, array in zip(names, arrays, strict=True):
            # The functions that call this have further ways out, which their docstrings describe.
            check_finite(name, array, "refuse", "The gradient explodes.", first=None)


def check_threshold(name: str, value: Any, arrays: bool = True) -> None:
    """Raise unless `value` is a positive number; an array of no axes, where allowed, is not read.

    Raises
    ------
    TypeError, ValueError
        Naming the parameter.
    """
    if arrays and getattr(value, "shape", None) == () and not isinstance(value, numbers.Real):
        if not namespace(value, name).isdtype(value.dtype, ("integral", "real floating")):
            raise TypeError(f"{name} must hold a real number; got {dtype_name(value.dtype)}")
        return
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"{name} must be a number{', or an array of no axes' if arrays else ''}; got {value!r:.80}"
        )
    if not value > 0:
        raise ValueError(f"{name} must be positive; got {value!r}")


def check_norm_type(norm_type: Any) -> float:
    """Return p as a float; raise unless it is a positive number or inf.

    Raises
    ------
    TypeError, ValueError
        Naming the parameter.
    """
    if isinstance(norm_type, bool) or not isinstance(norm_type, numbers.Real):
        raise TypeError(f"norm_type must be a number such as 2 or inf; got {norm_type!r:.80}")
    if not norm_type > 0:
        raise ValueError(f"norm_type must be positive; got {norm_type!r}")
    return float(norm_type)


def excluded(names: Iterable[str], exclude: Sequence[str]) -> set[str]:
    """Return the names that are in `exclude`, or whose beginning up to a dot is.

    Raises
    ------
    TypeError
        One text instead of a sequence of them.
    ValueError
        An entry that fits no name: a misspelt one would be clipped after all.
    """
    if isinstance(exclude, str) or not isinstance(exclude, Iterable):
        raise TypeError(f"exclude must be a sequence of names, such as ('head',); got {exclude!r}")
    names, found = list(names), set()
    for one in exclude:
        fits = {name for name in names if name == one or name.startswith(f"{one}.")}
        if not fits:
            raise ValueError(f"exclude: {one!r} fits none of the names {', '.join(names)}")
        found |= fits
    return found


def threshold(xp: Any, name: str, value: float | Array, like: Array) -> Array:
    """Return a threshold as an array of no axes, of the library, dtype and device of `like`."""
    check_threshold(name, value)
    if isinstance(value, numbers.Real):
        return xp.asarray(value, dtype=like.dtype, device=device_of(like))
    # 0 is what a percentile of zeros gives. On a GPU nobody looks: that would wait.
    if "cpu" in str(device_of(value)).lower() and not bool(value >= 0):
        raise ValueError(f"{name} must be positive; got {float(value)}")
    return convert(value, xp, like.dtype, device_of(like))


def relative_norm(xp: Any, arrays: Sequence[Array], p: float) -> tuple[Array, Array, Array]:
    """Return ‖g / m‖_p, m, and whether all is finite; m is the largest size, or 1 if that divides nothing."""
    largest = xp.max(xp.stack([xp.max(xp.abs(a)) for a in arrays]))
    good = xp.isfinite(largest)
    scale = xp.where(good & (largest > 0), largest, xp.ones_like(largest))
    if p == math.inf:
        return largest / scale, scale, good
    total = xp.sum(xp.stack([xp.sum(xp.abs(a / scale) ** p) for a in arrays]))
    return total ** (1 / p), scale, good


def unit_axes(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the axes that belong to one unit: all but the first, or all of what is a vector in effect."""
    vector = sum(size > 1 for size in shape) <= 1
    return tuple(range(0 if vector else 1, len(shape)))


def unit_norms(xp: Any, array: Array) -> Array:
    """Return the length of each unit's row, its axes kept at length 1."""
    axes = unit_axes(array.shape)
    if not axes:
        return xp.abs(array)
    largest = xp.max(xp.abs(array), axis=axes, keepdims=True)
    scale = xp.where(xp.isfinite(largest) & (largest > 0), largest, xp.ones_like(largest))
    return xp.linalg.vector_norm(array / scale, axis=axes, keepdims=True) * scale
