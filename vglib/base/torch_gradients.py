r"""PyTorch's gradients as one vector: found, grouped, measured at any size, set to zero unread.

Index legend: g gradients, one group for each device and dtype; p order of the norm.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from .errors import NonFiniteError, choice

__all__ = [
    "HALF",
    "Gradient",
    "Parameters",
    "carry_on",
    "collect",
    "factor_dtype",
    "joint_norm",
    "listed",
    "on_host",
    "presentable",
    "quick_norms",
    "read",
    "row_lengths",
    "safe_norms",
    "wide_dtype",
    "zero",
    "zero_unless",
    "zero_where_needed",
]

Parameters = Tensor | torch.nn.Module | Iterable[Tensor] | Iterable[tuple[str, Tensor]]
POLICIES = ("zero", "raise", "skip")
HALF = (torch.float16, torch.bfloat16)
BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

Gradient = tuple[str | int, Tensor, Tensor]
"""Name or place, parameter, gradient."""


def listed(parameters: Parameters) -> list[Any]:
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


def collect(given: list[Any], nonfinite: str) -> tuple[list[Gradient], list[list[Tensor]]]:
    """Return every gradient that there is, once, and all by device and dtype, as fused kernels want them."""
    choice("nonfinite", nonfinite, POLICIES)
    found: dict[int, Gradient] = {}
    groups: dict[Any, list[Tensor]] = {}
    for i, one in enumerate(given):  # runs in every step for every parameter, so it does little
        name, parameter = _pair(i, one) if isinstance(one, tuple) else (i, one)
        if not isinstance(parameter, Tensor):
            raise TypeError(f"{called(name)} must be a tensor; got {type(parameter).__name__}")
        grad = parameter.grad
        if grad is None or id(parameter) in found:
            continue
        key = (grad.device, grad.dtype, grad.layout)
        if key in groups:
            groups[key].append(grad)
        elif grad.layout is not torch.strided or not grad.is_floating_point():
            kind = grad.dtype if grad.layout is torch.strided else grad.layout
            raise TypeError(f"the gradient of {called(name)} must be dense and of real floats; got {kind}")
        else:
            groups[key] = [grad]
        found[id(parameter)] = (name, parameter, grad)
    return list(found.values()), list(groups.values())


def _pair(i: int, one: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(one) == 2 and isinstance(one[0], str):
        return one
    kinds = ", ".join(type(part).__name__ for part in one)
    raise TypeError(f"{called(i)} must be a parameter or (name, parameter); got a tuple ({kinds})")


def called(name: str | int) -> str:
    return name if isinstance(name, str) else f"parameters[{name}]"


def wide_dtype(tensor: Tensor) -> torch.dtype:
    """Return the dtype to add squares up in: float64, where the device has it."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64


def factor_dtype(grad: Tensor) -> torch.dtype:
    """Return the dtype of what a gradient is multiplied by: in half precision it would be 0 all too soon."""
    return torch.float32 if grad.dtype in HALF else grad.dtype


def joint_norm(groups: list[list[Tensor]], p: float) -> Tensor:
    """Return the joint norm, 0-d in the widest dtype there is."""
    if not groups:
        return torch.zeros(())
    device, dtype = groups[0][0].device, wide_dtype(groups[0][0])
    host = all(group[0].device.type == "cpu" for group in groups)
    norms = [quick_norms(group, p) if host else safe_norms(group, p) for group in groups]
    total = _combine(norms, p, device, dtype)
    if host and type(total) is Tensor and math.isfinite(p):
        # In the gradients' own precision, which is twice as fast; but there squares leave the range early.
        floor = max(torch.finfo(g[0].dtype).tiny ** (1 / p) / torch.finfo(g[0].dtype).eps for g in groups)
        if not floor < read(total) < math.inf:
            total = _combine([safe_norms(group, p) for group in groups], p, device, dtype)
    return total


def _combine(norms: list[list[Tensor]], p: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    parts = [torch.stack(group) for group in norms]
    whole = parts[0] if len(parts) == 1 else torch.cat([part.to(device, dtype) for part in parts])
    return torch.linalg.vector_norm(whole, p, dtype=dtype)


def quick_norms(group: list[Tensor], p: float) -> list[Tensor]:
    """Return norms of parts of a group, or rubbish where powers leave the range; on the CPU."""
    if p == 2 and group[0].dtype not in HALF and all(grad.is_contiguous() for grad in group):
        flat = [grad.view(-1) for grad in group]
        return [torch.stack([torch.dot(grad, grad) for grad in flat]).sum(dtype=torch.float64).sqrt()]
    return torch._foreach_norm(group, p, dtype=torch.float32 if group[0].dtype in HALF else None)


def safe_norms(group: list[Tensor], p: float) -> list[Tensor]:
    """Return the norm of each tensor; no power over- or underflows."""
    wide = wide_dtype(group[0])
    if group[0].dtype != wide and p <= 4:
        return torch._foreach_norm(group, p, dtype=wide)
    norms = []
    for grad in group:
        largest = torch.linalg.vector_norm(grad, math.inf).to(wide)
        usable = torch.isfinite(largest) & (largest > 0)
        scale = torch.where(usable, largest, 1.0)
        norms.append(torch.linalg.vector_norm(grad / scale, p, dtype=wide) * scale)
    return norms


def row_lengths(tensor: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    """Return Euclidean norms along axes, which are kept; no square over- or underflows."""
    wide = tensor.to(wide_dtype(tensor))
    if wide.dtype != tensor.dtype:  # its squares stay within the range
        return torch.linalg.vector_norm(wide, dim=dim, keepdim=True)
    largest = torch.linalg.vector_norm(wide, math.inf, dim=dim, keepdim=True)
    scale = torch.where(torch.isfinite(largest) & (largest > 0), largest, 1.0)
    return torch.linalg.vector_norm(wide / scale, dim=dim, keepdim=True) * scale


def presentable(norm: Tensor, groups: list[list[Tensor]]) -> Tensor:
    """Return the norm in the gradients' dtype, at least float32."""
    dtype = torch.float32
    for group in groups:
        dtype = torch.promote_types(dtype, group[0].dtype)
    return norm.to(dtype)


def on_host(tensor: Any) -> bool:
    """Whether a value can be read without waiting for a device, or breaking a trace."""
    return type(tensor) is Tensor and tensor.device.type == "cpu"


def read(value: float | Tensor) -> float:
    """Return a number of Python's; a tensor that is not `on_host` is waited for."""
    return float(value.numpy() if on_host(value) else value)


def carry_on(found: list[Gradient], norm: Tensor, nonfinite: str) -> bool:
    """Whether there is anything to clip; what 'raise' and 'skip' do about inf and NaN is done here."""
    if nonfinite == "zero" or not found or bool(torch.isfinite(norm)):
        return bool(found)
    if nonfinite == "raise":
        for name, _, grad in found:
            if not bool(torch.isfinite(grad).all()):
                raise NonFiniteError(f"the gradient of {called(name)}", None, "The gradient explodes.")
        raise NonFiniteError(
            "the norm of the gradients", None, "Each gradient is, the sum of squares is not."
        )
    for _, parameter, _ in found:
        parameter.grad = None
    return False


def zero_where_needed(norm: Tensor, groups: list[list[Tensor]]) -> None:
    """Set gradients to 0 if their norm is not finite, read or unread."""
    if not on_host(norm):
        zero_unless(torch.isfinite(norm), groups)
    elif not math.isfinite(read(norm)):
        zero(groups)


def zero(groups: list[list[Tensor]]) -> None:
    """Set gradients to 0."""
    for group in groups:
        torch._foreach_zero_(group)


def zero_unless(good: Tensor, groups: list[list[Tensor]]) -> None:
    """Set gradients to 0 unless a 0-d tensor is true, without reading it.

    0 · NaN is NaN, but a float's bits, read as a whole number, become 0 when multiplied by 0.
    """
    for group in groups:
        bits = BITS[group[0].element_size()]
        torch._foreach_mul_([grad.view(bits) for grad in group], good.to(group[0].device, bits))
