"""Weights of a PyTorch module that are to be set in place: how they are stacked, whether they can be set."""

from __future__ import annotations

from typing import Any

__all__ = ["PARTS", "check_settable", "stacked_gates", "suffixes"]

PARTS = ("_g", "_v", "_orig")
"""Endings of what `weight_norm` and `spectral_norm` of old compute a weight from."""


def stacked_gates(module: Any) -> int | None:
    """Return how many gates PyTorch stacks in one weight of this module; None if it is no recurrent layer."""
    from torch import nn

    kinds = {nn.LSTM: 4, nn.LSTMCell: 4, nn.GRU: 3, nn.GRUCell: 3, nn.RNN: 1, nn.RNNCell: 1}
    return next((gates for kind, gates in kinds.items() if isinstance(module, kind)), None)


def suffixes(module: Any) -> list[str]:
    """Return the endings of a recurrent layer's parameter names, one for each layer and direction."""
    if not hasattr(module, "num_layers"):
        return [""]
    directions = ("", "_reverse") if module.bidirectional else ("",)
    return [f"_l{layer}{direction}" for layer in range(module.num_layers) for direction in directions]


def check_settable(module: Any, name: str) -> None:
    """Raise ValueError unless a module's own weight is a plain parameter that holds numbers."""
    import torch

    weight = module._parameters.get(name)
    if weight is None:  # neither does `weight_norm` of old leave a parameter of that name
        raise ValueError(
            f"module's {name} is computed by a parametrisation, so that it cannot be set; set it "
            "before the parametrisation is registered"
        )
    if torch.nn.parameter.is_lazy(weight):
        raise ValueError(f"module's {name} has no size yet; send a batch through the lazy layer first")
    if weight.is_meta:
        raise ValueError(f"module's {name} is on the device 'meta' and holds no numbers; move it first")
