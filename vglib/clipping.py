r"""Clipping: what to do when the step is too long.

    by norm       g ← g · min(1, η / ‖g‖_p)          all parameters are one vector: its direction stays
    by value      g_i ← min(max(g_i, −η), η)         entry by entry: the direction turns
    by step       J_t ← J_t · min(1, η / σ₁(J_t))    in backpropagation: the terms of its sum change weight
    adaptive      g_i ← g_i · min(1, λ max(‖w_i‖, ε) / ‖g_i‖)        row by row: all weights into one unit
    AutoClip      η = the q-th percentile of the norms seen so far

None of them makes a small gradient larger. Names that end in an underscore change the `.grad` of PyTorch
parameters in place; the others return new arrays of any library.

Index legend: g gradient, w weight, η threshold, λ and ε the adaptive ones, p order of the norm, J_t Jacobian
of step t, σ₁ its largest singular value, i row (one unit; with stacked gates one gate of one unit).

Sources: Mikolov (2012) by value; Pascanu, Mikolov and Bengio (2013) by norm; Brock, De, Smith and Simonyan
(2021) adaptive; Seetharaman, Wichern, Pardo and Le Roux (2020) AutoClip.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import jacobians
from .base.arrays import QUIET, Array, check_array, check_finite, namespace, widened
from .base.autoclip import AutoClip, percentile
from .base.clip_arrays import (
    check_all_finite,
    check_norm_type,
    check_threshold,
    excluded,
    relative_norm,
    take_apart,
    threshold,
    unit_norms,
)
from .base.errors import choice
from .base.scaled import finite_svdvals
from .base.trace import WANTS, Gradients, Trace, check_through_time
from .bptt import backprop

if TYPE_CHECKING:
    from .base.clip_torch import adaptive_, by_norm_, by_value_, clip_message

__all__ = [
    "AutoClip",
    "adaptive",
    "adaptive_",
    "by_norm",
    "by_norm_",
    "by_step",
    "by_value",
    "by_value_",
    "clip_message",
    "percentile",
]

IN_PLACE = ("adaptive_", "by_norm_", "by_value_", "clip_message")


def __getattr__(name: str) -> Any:
    # What trains in PyTorch is the only part that needs it.
    if name not in IN_PLACE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .base import clip_torch

    return getattr(clip_torch, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *IN_PLACE})


@QUIET
def by_norm(
    gradients: Any, max_norm: float | Array, norm_type: float = 2, nonfinite: str = "raise"
) -> tuple[Any, Array]:
    """Return gradients whose joint norm is at most η, and the norm that they had.

    Everything that comes is one vector: g · min(1, η / ‖g‖_p). No square over- or underflows on the way, so
    the length is right wherever the entries are finite.

    Parameters
    ----------
    gradients : mapping of str to Array, sequence of Array, or Array
        E.g. `grads.parameters`.
    max_norm : float or 0-d Array
        η > 0; inf only measures.
    norm_type : float
        p > 0, or inf.
    nonfinite : {'raise', 'zero', 'return'}
        What to do about inf or NaN: name the array, return zeros, or compute on, as most libraries do: then
        one inf makes all finite entries 0 and itself NaN, and one NaN makes all NaN.

    Returns
    -------
    clipped : as `gradients`
        New arrays.
    norm : Array, 0-d
        Before clipping. In half precision it is float32.

    Raises
    ------
    ValueError, TypeError
        Nothing to clip; arrays of several kinds; a threshold or an order that is not positive.
    NonFiniteError
        Naming the array.

    Examples
    --------
    >>> import numpy as np
    >>> clipped, norm = by_norm({"w": np.array([3.0, 0.0]), "b": np.array([4.0])}, max_norm=1.0)
    >>> clipped, float(norm)
    ({'w': array([0.6, 0. ]), 'b': array([0.8])}, 5.0)
    """
    names, arrays, rebuild = take_apart("gradients", gradients)
    xp, p = namespace(arrays[0]), check_norm_type(norm_type)
    choice("nonfinite", nonfinite, ("raise", "zero", "return"))
    check_all_finite(names, arrays, nonfinite)
    wide = [widened(xp, array) for array in arrays]
    limit = threshold(xp, "max_norm", max_norm, wide[0])
    relative, scale, good = relative_norm(xp, wide, p)
    norm = relative * scale
    relative = xp.where(relative == 0, xp.ones_like(relative), relative)  # zeros are not long
    long = ~(norm <= limit)  # NaN is not at most anything
    # Two factors: their product may be less than the smallest number.
    clipped = [xp.where(long, a / scale * (limit / relative), a) for a in wide]
    if nonfinite == "zero":
        clipped = [xp.where(good, a, xp.zeros_like(a)) for a in clipped]
    return rebuild([xp.astype(c, a.dtype) for c, a in zip(clipped, arrays, strict=True)]), norm


@QUIET
def by_value(gradients: Any, max_value: float | Array, nonfinite: str = "raise") -> Any:
    """Return gradients with every entry between −η and η.

    The direction is lost: what is larger than η in size becomes ±η, whatever it was.

    Parameters
    ----------
    gradients : mapping of str to Array, sequence of Array, or Array
    max_value : float or 0-d Array
        η > 0.
    nonfinite : {'raise', 'zero', 'return'}
        'return' makes inf η and leaves NaN.

    Returns
    -------
    as `gradients`
        New arrays.

    Raises
    ------
    ValueError, TypeError, NonFiniteError
        As `by_norm`.
    """
    names, arrays, rebuild = take_apart("gradients", gradients)
    xp = namespace(arrays[0])
    choice("nonfinite", nonfinite, ("raise", "zero", "return"))
    check_all_finite(names, arrays, nonfinite)
    limit = threshold(xp, "max_value", max_value, arrays[0])
    clipped = [xp.where(a > limit, limit, xp.where(a < -limit, -limit, a)) for a in arrays]
    if nonfinite == "zero":
        _, _, good = relative_norm(xp, arrays, float("inf"))
        clipped = [xp.where(good, a, xp.zeros_like(a)) for a in clipped]
    return rebuild(clipped)


@QUIET
def by_step(
    trace: Trace,
    d_outputs: Array | Callable[[int, int], Array],
    max_norm: float,
    d_final: Array | None = None,
    want: Sequence[str] = WANTS,
    nonfinite: str = "raise",
) -> Gradients:
    """Return what backpropagation gives when every one-step Jacobian is clipped to spectral norm η.

    s̄_t = s̄_{t+1} J_t · min(1, η / σ₁(J_t)) + ∂⁺L/∂s_t. With η ≤ 1 no message can grow, whatever the weights.
    It is the Jacobian that is bounded, as lectures propose, and not each message's growth: so the backward
    pass stays linear in the message and two losses still add. The result is *not* a gradient: the terms of
    ∂L/∂W come back through different numbers of factors and shrink by different amounts, so their sum turns.

    Parameters
    ----------
    trace : Trace
        From `bptt.unroll`.
    d_outputs, d_final, want, nonfinite
        As for `bptt.backprop`.
    max_norm : float
        η > 0.

    Returns
    -------
    Gradients
        Costs one singular value decomposition of (S, S) a step and sequence.

    Raises
    ------
    ValueError, TypeError, NonFiniteError
        As `bptt.backprop`.
    """
    check_through_time(trace)
    cell, xp = trace.cell, trace.cell.xp
    limit = threshold(xp, "max_norm", max_norm, widened(xp, cell.weight_hh))
    rows = []
    for J in jacobians.stream(trace):
        sigma = finite_svdvals(xp, widened(xp, J))[:, :1]
        rows.append(xp.where(sigma > limit, limit / sigma, xp.ones_like(sigma)))
    factors = xp.astype(xp.stack(rows), cell.weight_hh.dtype)  # (T, B, 1)

    class Clipped(type(cell)):
        """The same cell, with one more factor by which the message to the state before is multiplied."""

        def factors(self, saved: tuple[Array, ...]) -> tuple[Array, ...]:
            return (*super().factors(saved[:-1]), saved[-1])

        def backward_step(self, factors: tuple[Array, ...], d_state: Array) -> tuple[Array, ...]:
            d_previous, d_input, d_recurrent = super().backward_step(factors[:-1], d_state)
            return d_previous * factors[-1], d_input, d_recurrent

    fields = {field.name: getattr(cell, field.name) for field in dataclasses.fields(cell)}
    bounded = dataclasses.replace(trace, cell=Clipped(**fields), saved=(*trace.saved, factors))
    return backprop(bounded, d_outputs, d_final, want, nonfinite)


@QUIET
def adaptive(
    weights: Mapping[str, Array],
    gradients: Mapping[str, Array],
    clipping: float = 0.01,
    eps: float = 1e-3,
    exclude: Sequence[str] = (),
    nonfinite: str = "raise",
) -> tuple[dict[str, Array], Array]:
    """Return gradients that are, unit by unit, no longer than a share λ of its weights, and their norm.

    g_i · min(1, λ max(‖w_i‖, ε) / ‖g_i‖) for each row i: all weights into one unit. In the stacked matrices
    of an LSTM or a GRU a row is one gate of one unit, so gates are clipped apart with no further ado. A bias
    vector (one axis longer than 1, or none) is one unit as a whole, as in the authors' code. In an embedding
    a row is one word; where a layer keeps its inputs first, as transposed convolutions do, it is one input.

    Parameters
    ----------
    weights, gradients : mapping of str to Array
        The same names and shapes, e.g. `cell.parameters` and `grads.parameters`.
    clipping : float
        λ > 0.
    eps : float
        ε > 0, the size below which weights count as this large, lest those that start at 0 never move.
    exclude : sequence of str
        Names, or what stands before a dot in them, that are left as they are. The authors leave out the last
        linear layer.
    nonfinite : {'raise', 'zero'}

    Returns
    -------
    clipped : dict of str to Array
        New arrays.
    norm : Array, 0-d
        Euclidean, of all gradients before clipping, the excluded ones included.

    Raises
    ------
    ValueError, TypeError
        Names or shapes that differ, a name in `exclude` that is none, as `by_norm`.
    NonFiniteError
        Naming the array, a gradient or a weight.
    """
    names, arrays, _ = take_apart("gradients", gradients, mapping=True)
    take_apart("weights", weights, mapping=True)
    if set(weights) != set(gradients):
        raise ValueError(f"weights and gradients must have the same names; got {[*weights]}, {[*gradients]}")
    choice("nonfinite", nonfinite, ("raise", "zero"))
    check_threshold("clipping", clipping, arrays=False)
    check_threshold("eps", eps, arrays=False)
    skipped = excluded(gradients, exclude)
    xp = namespace(arrays[0])
    check_all_finite(names, arrays, nonfinite)
    relative, scale, good = relative_norm(xp, [widened(xp, g) for g in arrays], 2)
    clipped = {}
    for name, g, where in zip(gradients, arrays, names, strict=True):
        w, shape = weights[name], [("n", size) for size in g.shape]
        check_array(f"weights[{name!r}]", w, shape, like=g, like_name=where)
        if nonfinite == "raise":
            check_finite(f"weights[{name!r}]", w, "refuse", first=None)
        if name in skipped:
            clipped[name] = xp.asarray(g, copy=True)
            continue
        wide = widened(xp, g)
        length, size = (unit_norms(xp, array) for array in (wide, widened(xp, w)))
        limit = clipping * xp.where(size > eps, size, xp.full_like(size, eps))
        clipped[name] = xp.astype(xp.where(length > limit, wide * (limit / length), wide), g.dtype)
    if nonfinite == "zero":
        clipped = {name: xp.where(good, c, xp.zeros_like(c)) for name, c in clipped.items()}
    return clipped, relative * scale
