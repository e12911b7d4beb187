r"""Clipping of PyTorch's `.grad` in place, as training does it; the formulas are those of `vglib.clipping`.

On a GPU nothing is read back: what depends on the norm is multiplied in. Only `nonfinite='raise'` and
`'skip'` wait for the device, once. On the CPU there is nothing to wait for, so the norm is looked at, and
gradients that are short enough are not touched.

Index legend: g gradients, one group for each device and dtype; η threshold, p order of the norm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import Module

from .clip_arrays import check_norm_type, check_threshold, excluded, unit_axes
from .errors import whole_number
from .torch_gradients import (
    Parameters,
    carry_on,
    collect,
    factor_dtype,
    joint_norm,
    listed,
    on_host,
    presentable,
    read,
    row_lengths,
    wide_dtype,
    zero,
    zero_unless,
    zero_where_needed,
)

__all__ = ["adaptive_", "by_norm_", "by_value_", "clip_by", "clip_message"]


def by_norm_(
    parameters: Parameters, max_norm: float | Tensor, norm_type: float = 2, nonfinite: str = "zero"
) -> Tensor:
    """Scale all gradients together so that their joint norm is at most η, in place.

    g ← g · min(1, η / ‖g‖_p). Squares are added up in more than the gradients' precision where theirs would
    over- or underflow: a float32 gradient of 1e30 is shortened to η, not deleted.

    Parameters
    ----------
    parameters : torch.nn.Module, parameter, or iterable of parameters or of (name, parameter)
        An iterator is read once. Parameters without a gradient are passed over; one that occurs twice counts
        once. Groups on several devices and of several dtypes are one vector.
    max_norm : float or 0-d Tensor
        η > 0; inf only measures.
    norm_type : float
        p > 0, or inf.
    nonfinite : {'zero', 'raise', 'skip'}
        What to do if a gradient holds inf or NaN. 'zero' sets all gradients to 0. Zero gradients still move
        Adam and everything with momentum or weight decay: the running means go on. 'skip' sets every
        `.grad` to None, so that the optimiser leaves all weights alone. 'raise' names the parameter. The
        last two wait for the device.

    Returns
    -------
    Tensor, 0-d
        The norm before clipping, not finite if a gradient is not; at least float32.

    Raises
    ------
    ValueError, TypeError
        No parameters (an iterator that is used up), no tensors, sparse or complex gradients, a threshold or
        an order that is not positive.
    NonFiniteError
        With nonfinite='raise'.
    """
    check_threshold("max_norm", max_norm)
    return clip_by(parameters, lambda norm: max_norm, norm_type, nonfinite)


@torch.no_grad()
def clip_by(
    parameters: Parameters,
    threshold: Callable[[Tensor], float | Tensor],
    norm_type: float = 2,
    nonfinite: str = "zero",
) -> Tensor:
    """Clip by norm at a threshold that may depend on the norm; the rest is that of `by_norm_`."""
    p = check_norm_type(norm_type)
    found, groups = collect(listed(parameters), nonfinite)
    norm = joint_norm(groups, p)
    if not found:  # a norm of nothing is no step that a threshold should remember
        return presentable(norm, groups)
    shown = presentable(norm, groups)
    limit = threshold(shown)
    if not carry_on(found, norm, nonfinite):
        return shown
    if on_host(norm):
        length, limit = read(norm), read(limit)
        if not limit >= 0:
            raise ValueError(f"max_norm must be positive; got {limit}")
        if not math.isfinite(length):
            zero(groups)
        elif length > limit:
            for group in groups:
                # As a tensor: a number of Python's would be made one for each gradient.
                torch._foreach_mul_(group, torch.tensor(limit / length, dtype=factor_dtype(group[0])))
    else:
        factor = torch.where(norm > limit, limit / norm, 1.0)
        for group in groups:
            torch._foreach_mul_(group, factor.to(group[0].device, factor_dtype(group[0])))
        zero_unless(torch.isfinite(norm), groups)
    return shown


@torch.no_grad()
def by_value_(parameters: Parameters, max_value: float, nonfinite: str = "zero") -> Tensor:
    """Bring every entry of every gradient between −η and η, in place. The direction is lost.

    Parameters
    ----------
    parameters, nonfinite
        As for `by_norm_`.
    max_value : float
        η > 0.

    Returns
    -------
    Tensor, 0-d
        The Euclidean norm before clipping.

    Raises
    ------
    ValueError, TypeError, NonFiniteError
        As `by_norm_`.
    """
    check_threshold("max_value", max_value, arrays=False)
    found, groups = collect(listed(parameters), nonfinite)
    norm = joint_norm(groups, 2.0)
    if carry_on(found, norm, nonfinite):
        for group in groups:
            torch._foreach_clamp_min_(group, -max_value)
            torch._foreach_clamp_max_(group, max_value)
        zero_where_needed(norm, groups)
    return presentable(norm, groups)


@torch.no_grad()
def adaptive_(
    parameters: Parameters,
    clipping: float = 0.01,
    eps: float = 1e-3,
    exclude: Sequence[str] = (),
    nonfinite: str = "zero",
) -> Tensor:
    """Shorten each unit's gradient to a share λ of the length of its weights, in place.

    g_i ← g_i · min(1, λ max(‖w_i‖, ε) / ‖g_i‖) for each row i; what counts as a unit, and what becomes of
    bias vectors, is said at `vglib.clipping.adaptive`.

    Parameters
    ----------
    parameters : torch.nn.Module, parameter, or iterable of parameters or of (name, parameter)
    clipping, eps : float
        λ and ε, both positive.
    exclude : sequence of str
        Names of parameters, or of modules, that are left as they are; it needs a module, or names. A tied
        weight may be called by any of its names. The authors leave out the last linear layer:
        `exclude=("head",)`, if that is what it is called.
    nonfinite : {'zero', 'raise', 'skip'}
        As for `by_norm_`.

    Returns
    -------
    Tensor, 0-d
        The Euclidean norm of all gradients before clipping, the excluded ones included.

    Raises
    ------
    ValueError, TypeError, NonFiniteError
        As `by_norm_`; a name in `exclude` that is none.
    """
    check_threshold("clipping", clipping, arrays=False)
    check_threshold("eps", eps, arrays=False)
    given = listed(parameters)
    found, groups = collect(given, nonfinite)
    # Tied weights have several names, of which `given` may hold the first alone.
    every = parameters.named_parameters(remove_duplicate=False) if isinstance(parameters, Module) else given
    named = [one for one in every if isinstance(one, tuple)]
    names = excluded([name for name, _ in named], exclude)
    skipped = {id(parameter) for name, parameter in named if name in names}
    norm = joint_norm(groups, 2.0)
    if carry_on(found, norm, nonfinite):
        for _, weight, grad in found:
            if id(weight) not in skipped:
                length, size = (_unit_norms(tensor) for tensor in (grad, weight.detach()))
                limit = clipping * torch.where(size > eps, size, eps)
                factor = torch.where(length > limit, limit / length, 1.0)
                grad.mul_(factor.to(factor_dtype(grad)))
        zero_where_needed(norm, groups)
    return presentable(norm, groups)


def clip_message(h: Tensor, max_norm: float, dim: int | tuple[int, ...] = -1) -> Tensor:
    """Return h as it is; on the way back shorten ∂L/∂h of each example to length η.

    For activations within a model, e.g. between two pieces of a long sequence. As clipping by step it changes
    the direction of the weights' gradient.

    Parameters
    ----------
    h : Tensor, e.g. (B, H) or (T, B, H)
    max_norm : float
        η > 0.
    dim : int or tuple of int
        The axes of one message; all others count examples, each clipped on its own. One that is not finite
        becomes 0, and no other one knows.

    Returns
    -------
    Tensor
        A view of h.

    Raises
    ------
    TypeError, ValueError
        `h` is no tensor of real floats; a threshold that is not positive; an axis that h does not have.
    """
    if not isinstance(h, Tensor) or not h.is_floating_point():
        raise TypeError(f"h must be a tensor of floats; got {getattr(h, 'dtype', type(h).__name__)}")
    check_threshold("max_norm", max_norm, arrays=False)
    axes = dim if isinstance(dim, tuple) else (dim,)
    # Here, and not in the backward pass, where nobody would know whose axis it is.
    if not axes or not all(-h.ndim <= whole_number("dim", axis, -h.ndim) < h.ndim for axis in axes):
        raise ValueError(f"dim must be one or more of the {h.ndim} axes of h; got {dim!r}")
    view = h.view_as(h)
    if not view.requires_grad:
        return view

    def clip(message: Tensor) -> Tensor:
        wide, length = message.to(wide_dtype(message)), row_lengths(message, dim)
        clipped = torch.where(length > max_norm, wide * (max_norm / length), wide)
        return torch.where(torch.isfinite(length), clipped, 0.0).to(message.dtype)

    view.register_hook(clip)
    return view


def _unit_norms(tensor: Tensor) -> Tensor:
    """Return the length of each unit's row, its axes kept."""
    axes = unit_axes(tensor.shape)
    return row_lengths(tensor, axes) if axes else tensor.to(wide_dtype(tensor)).abs()
