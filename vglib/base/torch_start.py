"""New starting weights for a PyTorch model, in place: which parameters are weights, and what their fans are.

Index legend: names are those of `module.named_parameters()`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .arrays import random_stream
from .torch_weights import PARTS, stacked_gates

__all__ = ["Started", "start_module"]

Std = Callable[[int, int, str | None], float]
Fans = Callable[..., tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Started:
    """What was set, and what was not.

    Attributes
    ----------
    set : dict of str to float
        Name of the parameter → standard deviation of its new values; 0 for a bias.
    left : tuple of str
        Names of all parameters that were not touched.
    """

    set: dict[str, float]
    left: tuple[str, ...]


def start_module(
    module: Any, std: Std, distribution: str, seed: int, skip: Iterable[str], fans: Fans
) -> Started:
    """Set all weights that can be told; see `vglib.initialization.initialize_`.

    Parameters
    ----------
    std : callable (fan_in, fan_out, activation or None) -> float
        None stands for "what the caller said".
    fans : callable (shape, gates) -> (fan_in, fan_out)
    """
    import torch

    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module must be a torch.nn.Module; got {type(module).__name__}")
    if isinstance(skip, str) or not isinstance(skip, Iterable):
        raise TypeError(f"skip must be several names, such as ('head',); got {skip!r}")
    skip, every = tuple(skip), dict(module.named_modules(remove_duplicate=False))
    for name in skip:
        if name not in every:
            raise ValueError(f"skip must hold names of modules, such as {list(every)[1:4]}; got {name!r}")
    # By identity: a weight tied to one that is left, under whatever name, is left too.
    kept = {id(parameter) for name in skip for parameter in every[name].parameters()}
    parts = [plan for name, part in module.named_modules() for plan in _plans(name, part)]
    plans = [plan for plan in parts if id(plan[1]) not in kept]
    for name, parameter, *_ in plans:
        if torch.nn.parameter.is_lazy(parameter):
            raise ValueError(f"module: {name} has no size yet; send a batch through the lazy layer first")
        if parameter.is_meta:
            raise ValueError(f"module: {name} is on device meta, without numbers; call module.to_empty first")
    done: dict[str, float] = {}
    seen: set[int] = set()
    with torch.no_grad():
        for name, parameter, size, follows in plans:
            if id(parameter) in seen:  # tied: drawn once, under its first name
                continue
            seen.add(id(parameter))
            done[name] = 0.0 if size is None else std(*fans(*size), follows)
            parameter.copy_(_values(torch, name, parameter, done[name], distribution, seed))
    return Started(done, tuple(name for name, p in module.named_parameters() if id(p) not in seen))


def _plans(prefix: str, part: Any) -> Iterator[tuple[str, Any, Any, str | None]]:
    """Yield name, parameter, arguments of `fans` (None for a bias) and the known activation of one layer."""
    from torch import nn

    convolutions = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    gates, follows = stacked_gates(part), getattr(part, "nonlinearity", "tanh")
    if gates is None:
        if not isinstance(part, (nn.Linear, *convolutions)):
            return
        gates, follows = 1, None
    groups = getattr(part, "groups", 1)
    for name, parameter in part.named_parameters(recurse=False):
        # Newer parametrizations are modules of their own.
        if name.endswith(PARTS):
            continue
        full = f"{prefix}.{name}" if prefix else name
        if parameter.ndim < 2:
            yield full, parameter, None, None
        else:
            stacked = 1 if name.startswith("weight_hr") else gates  # an LSTM's projection
            # Each input of a grouped convolution goes to the outputs of its own group alone.
            yield full, parameter, (tuple(parameter.shape), stacked * groups), follows


def _values(torch: Any, name: str, like: Any, std: float, distribution: str, seed: int) -> Any:
    """Return numbers that depend on seed, name and shape alone, drawn on the CPU in float32 or better."""
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    if std == 0:
        return torch.zeros(like.shape, dtype=dtype)
    generator = torch.Generator().manual_seed(int(random_stream(seed, name).integers(2**63)))
    if distribution == "normal":
        return torch.empty(like.shape, dtype=dtype).normal_(0.0, std, generator=generator)
    wide = math.sqrt(3) * std
    return torch.empty(like.shape, dtype=dtype).uniform_(-wide, wide, generator=generator)
