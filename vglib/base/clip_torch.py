r"""Clipping of PyTorch's `.grad` in place, as training does it; the formulas are those of `vglib.clipping`.

On a GPU nothing is read back: what depends on the norm is multiplied in. Only `nonfinite='raise'` and
`'skip'` wait for the device, once. On the CPU there is nothing to wait for, so the norm is looked at, and
gradients that are short enough are not touched.

Index legend: g gradients, one group for each device and dtype; η threshold, p order of the norm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from .clip_arrays import check_norm_type, check_threshold, excluded, unit_axes
from .errors import NonFiniteError, choice

__all__ = ["adaptive_", "by_norm_", "by_value_", "clip_by", "clip_message"]

Parameters = Tensor | torch.nn.Module | Iterable[Tensor] | Iterable[tuple[str, Tensor]]
POLICIES = ("zero", "raise", "skip")
HALF = (torch.float16, torch.bfloat16)
BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


_Gradient = tuple[str | int, Tensor, Tensor]
"""Name or place, parameter, gradient."""


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
    found, groups = _collect(_listed(parameters), nonfinite)
    norm = _norm(groups, p)
    shown = _presentable(norm, groups)
    limit = threshold(shown)
    if not _carry_on(found, norm, nonfinite):
        return shown
    if _on_host(norm):
        length, limit = _read(norm), _read(limit)
        if not math.isfinite(length):
            _zero(groups)
        elif length > limit:
            for group in groups:
                # As a tensor: a number of Python's would be made one for each gradient.
                torch._foreach_mul_(group, torch.tensor(limit / length, dtype=_factor_dtype(group[0])))
    else:
        factor = torch.where(norm > limit, limit / norm, 1.0)
        for group in groups:
            torch._foreach_mul_(group, factor.to(group[0].device, _factor_dtype(group[0])))
        _zero_unless(torch.isfinite(norm), groups)
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
    check_threshold("max_value", max_value)
    found, groups = _collect(_listed(parameters), nonfinite)
    norm = _norm(groups, 2.0)
    if _carry_on(found, norm, nonfinite):
        for group in groups:
            torch._foreach_clamp_min_(group, -max_value)
            torch._foreach_clamp_max_(group, max_value)
        _zero_where_needed(norm, groups)
    return _presentable(norm, groups)


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
        Names of parameters, or of modules, that are left as they are; it needs a module, or names. The
        authors leave out the last linear layer: `exclude=("head",)`, if that is what it is called.
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
    check_threshold("clipping", clipping)
    check_threshold("eps", eps)
    given = _listed(parameters)
    skipped = excluded([one[0] for one in given if isinstance(one, tuple)], exclude)
    found, groups = _collect(given, nonfinite)
    norm = _norm(groups, 2.0)
    if _carry_on(found, norm, nonfinite):
        for name, weight, grad in found:
            if name not in skipped:
                length, size = (_unit_norms(tensor) for tensor in (grad, weight.detach()))
                limit = clipping * size.clamp(min=eps)
                factor = torch.where(length > limit, limit / length, 1.0)
                grad.mul_(factor.to(_factor_dtype(grad)))
        _zero_where_needed(norm, groups)
    return _presentable(norm, groups)


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
        `h` is no tensor of real floats; a threshold that is not positive.
    """
    if not isinstance(h, Tensor) or not h.is_floating_point():
        raise TypeError(f"h must be a tensor of floats; got {getattr(h, 'dtype', type(h).__name__)}")
    check_threshold("max_norm", max_norm)
    view = h.view_as(h)
    if not view.requires_grad:
        return view

    def clip(message: Tensor) -> Tensor:
        wide = message.to(_wide(message))
        length = torch.linalg.vector_norm(wide, dim=dim, keepdim=True)
        clipped = torch.where(length > max_norm, wide * (max_norm / length), wide)
        return torch.where(torch.isfinite(length), clipped, 0.0).to(message.dtype)

    view.register_hook(clip)
    return view


def _listed(parameters: Parameters) -> list[Any]:
    """Return what came, parameters or (name, parameter), an iterator read once."""
    if isinstance(parameters, Tensor):
        return [parameters]
    if isinstance(parameters, torch.nn.Module):
        parameters = parameters.named_parameters()
    try:
        given = list(parameters)
    except TypeError:
        raise TypeError(
            f"parameters must be a module, a tensor, or an iterable of them; got {type(parameters).__name__}"
        ) from None
    if not given:
        raise ValueError("parameters is empty; an iterator can be read only once")
    return given


def _collect(given: list[Any], nonfinite: str) -> tuple[list[_Gradient], list[list[Tensor]]]:
    """Return every gradient that there is, once, and all by device and dtype, as fused kernels want them."""
    choice("nonfinite", nonfinite, POLICIES)
    found: dict[int, _Gradient] = {}
    groups: dict[Any, list[Tensor]] = {}
    for i, one in enumerate(given):  # runs in every step for every parameter, so it does little
        name, parameter = one if isinstance(one, tuple) else (i, one)
        if not isinstance(parameter, Tensor):
            raise TypeError(f"{_called(name)} must be a tensor; got {type(parameter).__name__}")
        grad = parameter.grad
        if grad is None or id(parameter) in found:
            continue
        key = (grad.device, grad.dtype, grad.layout)
        if key in groups:
            groups[key].append(grad)
        elif grad.layout is not torch.strided or not grad.is_floating_point():
            kind = grad.dtype if grad.layout is torch.strided else grad.layout
            raise TypeError(f"the gradient of {_called(name)} must be dense and of real floats; got {kind}")
        else:
            groups[key] = [grad]
        found[id(parameter)] = (name, parameter, grad)
    return list(found.values()), list(groups.values())


def _called(name: str | int) -> str:
    return name if isinstance(name, str) else f"parameters[{name}]"


def _wide(tensor: Tensor) -> torch.dtype:
    """Return the dtype to add squares up in: float64, where the device has it."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64


def _factor_dtype(grad: Tensor) -> torch.dtype:
    """Return the dtype of what a gradient is multiplied by: in half precision it would be 0 all too soon."""
    return torch.float32 if grad.dtype in HALF else grad.dtype


def _norm(groups: list[list[Tensor]], p: float) -> Tensor:
    """Return the joint norm, 0-d in the widest dtype there is."""
    if not groups:
        return torch.zeros(())
    device, dtype = groups[0][0].device, _wide(groups[0][0])
    host = all(group[0].device.type == "cpu" for group in groups)
    norms = [_quick_norms(group, p) if host else _safe_norms(group, p) for group in groups]
    total = _combine(norms, p, device, dtype)
    if host and type(total) is Tensor and math.isfinite(p):
        # In the gradients' own precision, which is twice as fast; but there squares leave the range early.
        floor = max(torch.finfo(g[0].dtype).tiny ** (1 / p) / torch.finfo(g[0].dtype).eps for g in groups)
        if not floor < _read(total) < math.inf:
            total = _combine([_safe_norms(group, p) for group in groups], p, device, dtype)
    return total


def _combine(norms: list[list[Tensor]], p: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    parts = [torch.stack(group) for group in norms]
    whole = parts[0] if len(parts) == 1 else torch.cat([part.to(device, dtype) for part in parts])
    return torch.linalg.vector_norm(whole, p, dtype=dtype)


def _quick_norms(group: list[Tensor], p: float) -> list[Tensor]:
    """Return norms of parts of a group, or rubbish where powers leave the range; on the CPU."""
    if p == 2 and group[0].dtype not in HALF and all(grad.is_contiguous() for grad in group):
        flat = [grad.view(-1) for grad in group]
        return [torch.stack([torch.dot(grad, grad) for grad in flat]).sum(dtype=torch.float64).sqrt()]
    return torch._foreach_norm(group, p, dtype=torch.float32 if group[0].dtype in HALF else None)


def _safe_norms(group: list[Tensor], p: float) -> list[Tensor]:
    """Return the norm of each tensor; no power over- or underflows."""
    wide = _wide(group[0])
    if group[0].dtype != wide and p <= 4:
        return torch._foreach_norm(group, p, dtype=wide)
    norms = []
    for grad in group:
        largest = torch.linalg.vector_norm(grad, math.inf).to(wide)
        usable = torch.isfinite(largest) & (largest > 0)
        scale = torch.where(usable, largest, 1.0)
        norms.append(torch.linalg.vector_norm(grad / scale, p, dtype=wide) * scale)
    return norms


def _unit_norms(tensor: Tensor) -> Tensor:
    """Return the length of each unit's row, its axes kept."""
    axes = unit_axes(tensor.shape)
    wide = tensor.to(_wide(tensor))
    return torch.linalg.vector_norm(wide, dim=axes, keepdim=True) if axes else wide.abs()


def _presentable(norm: Tensor, groups: list[list[Tensor]]) -> Tensor:
    """Return the norm in the gradients' dtype, at least float32."""
    dtype = torch.float32
    for group in groups:
        dtype = torch.promote_types(dtype, group[0].dtype)
    return norm.to(dtype)


def _on_host(tensor: Any) -> bool:
    """Whether a value can be read without waiting for a device, or breaking a trace."""
    return type(tensor) is Tensor and tensor.device.type == "cpu"


def _read(value: float | Tensor) -> float:
    return float(value.numpy()) if isinstance(value, Tensor) else float(value)


def _carry_on(found: list[_Gradient], norm: Tensor, nonfinite: str) -> bool:
    """Whether there is anything to clip; what 'raise' and 'skip' do about inf and NaN is done here."""
    if nonfinite == "zero" or not found or bool(torch.isfinite(norm)):
        return bool(found)
    if nonfinite == "raise":
        for name, _, grad in found:
            if not bool(torch.isfinite(grad).all()):
                raise NonFiniteError(f"the gradient of {_called(name)}", None, "The gradient explodes.")
        raise NonFiniteError(
            "the norm of the gradients", None, "Each gradient is, the sum of squares is not."
        )
    for _, parameter, _ in found:
        parameter.grad = None
    return False


def _zero_where_needed(norm: Tensor, groups: list[list[Tensor]]) -> None:
    if not _on_host(norm):
        _zero_unless(torch.isfinite(norm), groups)
    elif not math.isfinite(_read(norm)):
        _zero(groups)


def _zero(groups: list[list[Tensor]]) -> None:
    for group in groups:
        torch._foreach_zero_(group)


def _zero_unless(good: Tensor, groups: list[list[Tensor]]) -> None:
    """Set gradients to 0 unless a 0-d tensor is true, without reading it.

    0 · NaN is NaN, but a float's bits, read as a whole number, become 0 when multiplied by 0.
    """
    for group in groups:
        bits = BITS[group[0].element_size()]
        torch._foreach_mul_([grad.view(bits) for grad in group], good.to(group[0].device, bits))
