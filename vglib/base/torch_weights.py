"""Weights of a PyTorch module that are to be set in place: whether that can be done."""

from __future__ import annotations

from typing import Any

__all__ = ["check_settable"]


def check_settable(module: Any, name: str) -> None:
    """Raise ValueError unless a module's own weight is a plain parameter that holds numbers."""
    import torch

    weight = module._parameters.get(name)
    if weight is None:  # neither does `weight_norm` of old leave a parameter of that name
        raise ValueError(
            f"module's {name} is computed by a parametrisation, so that it cannot be set; call initialize_ "
            "before the parametrisation is registered"
        )
    if torch.nn.parameter.is_lazy(weight):
        raise ValueError(f"module's {name} has no size yet; send a batch through the lazy layer first")
    if weight.is_meta:
        raise ValueError(f"module's {name} is on the device 'meta' and holds no numbers; move it first")
