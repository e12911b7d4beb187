"""Weights to and from `torch.nn`: copied, never shared.

A cell that shared its weights with a module would, once an optimiser has stepped, differentiate a forward
pass that nobody ran.
"""

from __future__ import annotations

from typing import Any

from .arrays import convert, resolve_namespace
from .errors import kind_of, whole_number

__all__ = ["NAMES", "copy_from_module", "copy_to_module"]

NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
"""What PyTorch calls the weights of a recurrent layer, without its `_l0`."""


def copy_from_module(module: Any, kind: str, layer: int | None, reverse: bool | None) -> dict[str, Any]:
    """Return copies of one layer's and direction's weights of `torch.nn.<kind>` or `<kind>Cell`.

    Absent biases become zeros. Arrays are torch tensors, detached, of the module's dtype and device.

    Raises
    ------
    TypeError
        Another kind of module.
    ValueError
        Several layers or two directions and none chosen, no such one, `batch_first` or `proj_size`; a
        subclass that computes something else; weights that hold no numbers, or may be those of an earlier
        step.
    """
    import torch

    if isinstance(module, getattr(torch.nn, f"{kind}Cell")):
        if layer not in (None, 0) or reverse:
            raise ValueError(
                f"layer, reverse: torch.nn.{kind}Cell has one layer and one direction; got {layer}, {reverse}"
            )
        suffix = ""
    elif isinstance(module, getattr(torch.nn, kind)):
        suffix = _suffix(module, kind, layer, reverse)
    else:
        raise TypeError(f"module must be a torch.nn.{kind} or torch.nn.{kind}Cell; got {kind_of(module)}")
    _check_plain(module, kind, suffix)
    weights = {name: getattr(module, name + suffix, None) for name in NAMES}
    rows = weights["weight_hh"].new_zeros(weights["weight_hh"].shape[0])
    return {name: (rows if w is None else w).detach().clone() for name, w in weights.items()}


def _suffix(module: Any, kind: str, layer: int | None, reverse: bool | None) -> str:
    """Return the ending of PyTorch's parameter names, e.g. '_l1_reverse'; refuse what cannot be one cell."""
    if module.batch_first:
        raise ValueError(
            f"batch_first=True: vglib is time first, (T, B, D); make the {kind} with batch_first=False "
            "and pass x.transpose(0, 1)"
        )
    if getattr(module, "proj_size", 0):
        raise ValueError(f"proj_size={module.proj_size}: projected states are not supported; use proj_size=0")
    if layer is None:
        if module.num_layers > 1:
            raise ValueError(
                f"layer: the module has {module.num_layers} layers; say which, 0 to {module.num_layers - 1}"
            )
        layer = 0
    layer = whole_number("layer", layer, 0)
    if layer >= module.num_layers:
        raise ValueError(f"layer must be 0 to {module.num_layers - 1}; got {layer!r}")
    if reverse is None and module.bidirectional:
        raise ValueError(
            "reverse: the module is bidirectional; say which direction, False for the one that reads x from "
            "its start, True for the one that reads it from its end"
        )
    if reverse not in (None, False, True):
        raise TypeError(f"reverse must be True, False or None; got {reverse!r}")
    if reverse and not module.bidirectional:
        raise ValueError("reverse=True: the module is not bidirectional")
    return f"_l{layer}{'_reverse' if reverse else ''}"


def _check_plain(module: Any, kind: str, suffix: str) -> None:
    """Raise ValueError unless the weights tell what the module computes, and are those it computes with."""
    import torch

    forwards = [getattr(torch.nn, each).forward for each in (kind, f"{kind}Cell")]
    if type(module).forward not in forwards:
        raise ValueError(
            f"module: {kind_of(module)} has a forward of its own, of which its weights do not tell; copy "
            f"them into a torch.nn.{kind} if that is what is meant"
        )
    for name in (name + suffix for name in NAMES):
        weight = getattr(module, name, None)
        if weight is None:
            continue
        if weight.is_meta:
            raise ValueError(f"module's {name} is on the device 'meta' and holds no numbers; move it first")
        if name not in module._parameters and not torch.nn.utils.parametrize.is_parametrized(module, name):
            # Written anew before each forward, so that an optimiser's last update may not be in it yet.
            raise ValueError(
                f"module's {name} is computed by a hook whenever it runs, as by torch.nn.utils.weight_norm "
                "or prune; remove that first, or use torch.nn.utils.parametrizations"
            )


def copy_to_module(cell: Any, one_step: bool, **options: Any) -> Any:
    """Return a one-layer `torch.nn` module of this kind, or a one-step cell, with copies of the weights."""
    import torch

    xp = resolve_namespace(torch)
    weights = {name: convert(w, xp) for name, w in cell.parameters.items()}
    like = weights["weight_hh"]
    # Making a module draws weights; that must not move torch's global random state.
    with torch.random.fork_rng(devices=[like.device] if like.device.type == "cuda" else []):
        module = getattr(torch.nn, cell.torch_name + ("Cell" if one_step else ""))(
            cell.inputs, cell.hidden, device=like.device, dtype=like.dtype, **options
        )
    with torch.no_grad():
        for name, weight in weights.items():
            getattr(module, name if one_step else f"{name}_l0").copy_(weight)
    return module
