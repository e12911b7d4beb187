r"""Recurrent weights of PyTorch modules, made orthogonal and kept so: all that needs torch.

    W_g = B_g map(skew(X_g))     exponential, cayley: B the start, X = 0 there
    W_g = householder(V_g) D_g   V_g = I + the part of X_g below its diagonal, D = diag(±1) fixed

Index legend: G gates, H units; X the free numbers (G·H, H), of which each gate uses H(H−1)/2, the dimension
of the orthogonal matrices.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.utils import parametrize

from .arrays import check_dtype_name, check_finite, convert, dtype_name, namespace, random_stream
from .errors import choice, whole_number
from .orthogonal_inverses import nearest, reflections
from .orthogonal_maps import cayley_of, exponential_of, householder_of, identity_like, polished, skew_of
from .torch_weights import PARTS, check_settable, stacked_gates

__all__ = ["MAPS", "PerGate", "initialize", "parametrize_weight"]

MAPS = ("exponential", "cayley", "householder")


class PerGate(torch.nn.Module):
    """The parametrisation: free numbers in, a stack of G orthogonal matrices out.

    Parameters
    ----------
    map : {'exponential', 'cayley', 'householder'}
    gates : int
    """

    def __init__(self, map: str, gates: int) -> None:
        super().__init__()
        self.map, self.gates = map, gates
        self.register_buffer("base", None)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return W (G·H, H) for X (G·H, H)."""
        xp = namespace(X)
        # In half precision a map would leave its manifold: autocast must not touch it.
        with torch.autocast(X.device.type, enabled=False):
            blocks = X.unflatten(0, (self.gates, -1))
            if self.map == "householder":
                W = householder_of(xp, torch.tril(blocks, -1) + identity_like(xp, blocks)) * self.base
            else:
                make = exponential_of if self.map == "exponential" else cayley_of
                turn = make(xp, skew_of(xp, blocks))
                W = torch.matmul(self.base.to(turn.dtype), turn)
            # Last, since the start is rounded too.
            W = polished(xp, W).to(X.dtype)
        return W.flatten(0, 1)

    @torch.no_grad()
    def right_inverse(self, W: torch.Tensor) -> torch.Tensor:
        """Return X that gives W, if each block of W is orthogonal; otherwise the nearest such matrix."""
        xp = namespace(W)
        blocks = nearest(xp, W.unflatten(0, (self.gates, -1))).to(W.dtype)
        if self.map == "householder":
            V, signs = reflections(blocks)
            self.base = signs[:, None, :]
            return torch.tril(V, -1).flatten(0, 1)
        self.base = blocks
        return torch.zeros_like(W)

    def extra_repr(self) -> str:
        """Return what `repr` of the module shows."""
        return f"map={self.map!r}, gates={self.gates}"


def parametrize_weight(module: torch.nn.Module, name: str, map: str, gates: int | None) -> None:
    """Register a `PerGate` on one weight of a module."""
    choice("map", map, MAPS)
    _check_module(module)
    if not isinstance(name, str):
        raise TypeError(f"name must be the name of a weight; got {name!r}")
    if parametrize.is_parametrized(module, name):
        raise ValueError(
            f"name: {name!r} is parametrised already; undo it with "
            "torch.nn.utils.parametrize.remove_parametrizations"
        )
    weights = dict(module.named_parameters(recurse=False))
    if name not in weights:
        holders = [inner for inner, part in module.named_modules() if inner and name in part._parameters]
        if holders:
            raise ValueError(
                f"module must be the layer that holds {name}, such as module.get_submodule({holders[0]!r}); "
                f"got {type(module).__name__}, which contains it"
            )
        known = ", ".join(weights) or "of which there are none"
        raise ValueError(f"name must be one of the module's own weights, {known}; got {name!r}")
    weight = weights[name]
    check_settable(module, name)
    gates = _gates(module, name, weight, gates)
    rows, columns = weight.shape
    if rows != gates * columns:
        raise ValueError(
            f"{name} must have shape (G·H, H) with G={gates}, square for each gate; got {(rows, columns)}"
        )
    check_finite(name, weight.detach(), "refuse", first=None)
    parametrize.register_parametrization(module, name, PerGate(map, gates))


@torch.no_grad()
def initialize(
    module: torch.nn.Module, gates: int | None, gain: float, seed: int, draw: Any
) -> tuple[str, ...]:
    """Fill every weight_hh of a module and of its parts; return their names."""
    _check_module(module)
    found, seen = [], set()
    for prefix, part in module.named_modules():
        for name in _recurrent_weights(part):
            check_settable(part, name)
            weight = getattr(part, name)
            if id(weight) not in seen:  # shared with another part: set once, under its first name
                found.append((f"{prefix}.{name}".lstrip("."), part, name, weight))
                seen.add(id(weight))
    if not found:
        raise ValueError(
            f"module must have a recurrent weight, whose name begins with weight_hh; {type(module).__name__} "
            "has none"
        )
    blocks = []  # all of them before any is written: a refusal leaves the module as it was
    for full, part, name, weight in found:
        # A stream of its own for each name: no two layers start alike.
        stream = random_stream(seed, f"orthogonality.{full}")
        check_dtype_name(f"{full}'s dtype", dtype_name(weight.dtype), namespace(weight))
        blocks.append(draw(tuple(weight.shape), gain, _gates(part, name, weight, gates), stream))
    for block, (*_, weight) in zip(blocks, found, strict=True):
        weight.copy_(convert(block, namespace(weight), dtype_name(weight.dtype), weight.device))
    return tuple(full for full, *_ in found)


def _recurrent_weights(part: torch.nn.Module) -> list[str]:
    """Return the names of a module's own recurrent weights, parameters and computed ones."""
    held = part.parametrizations if parametrize.is_parametrized(part) else ()
    names = [*(name for name, weight in part._parameters.items() if weight is not None), *held]
    for ending in PARTS:
        names = [name.removesuffix(ending) for name in names]
    return list(dict.fromkeys(name for name in names if name.startswith("weight_hh")))


def _gates(module: torch.nn.Module, name: str, weight: torch.Tensor, gates: int | None) -> int:
    """Return G: as given, by the kind of module, or from the shape of the weight."""
    if weight.ndim != 2:
        raise ValueError(f"{name} must be a matrix (G·H, H); got shape {tuple(weight.shape)}")
    if gates is None:
        gates = stacked_gates(module) or max(1, weight.shape[0] // weight.shape[1])
    gates = whole_number("gates", gates, 1)
    if weight.shape[0] % gates:
        raise ValueError(f"gates={gates} does not divide the {weight.shape[0]} rows of {name}")
    return gates


def _check_module(module: Any) -> None:
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module must be a torch.nn.Module; got {type(module).__name__}")
