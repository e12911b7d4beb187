"""Deep nets of PyTorch's own layers: to train them, and to have somebody else's derivatives."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .arrays import convert, resolve_namespace
from .layers import EPSILON

__all__ = ["BlockStack", "TorchBlock", "from_module", "to_module"]

PHI = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "linear": nn.Identity}
TORCH_NAMES = {"weight": "weight", "bias": "bias", "gain": "weight", "shift": "bias"}


class TorchBlock(nn.Module):
    """One block: `layer1`, `norm1` and, where there are two, `layer2`, `norm2`; `scale` is β."""

    def __init__(self, kind: str, layers: int, activation: str, learn_scale: bool) -> None:
        super().__init__()
        self.kind, self.layers, self.phi = kind, layers, PHI[activation]()
        beta = torch.zeros(())
        if learn_scale:
            self.scale = nn.Parameter(beta)
        else:
            self.register_buffer("scale", beta)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """Return the next h."""
        branch = h
        for number in range(1, self.layers + 1):
            layer, norm = getattr(self, f"layer{number}"), getattr(self, f"norm{number}")
            if self.kind == "pre-activation":
                branch = layer(self.phi(norm(branch)))
            else:
                branch = norm(layer(branch))
                if number < self.layers or self.kind == "activated":
                    branch = self.phi(branch)
        if self.kind == "plain":
            return self.phi(self.scale * branch)
        if self.kind == "residual":
            return self.phi(h + self.scale * branch)
        return h + self.scale * branch


class BlockStack(nn.Module):
    """Blocks one after the other, `blocks[l]`; made by `to_torch`, read by `from_torch`."""

    def __init__(self, settings: dict[str, Any], channels: int, blocks: list[TorchBlock]) -> None:
        super().__init__()
        self.settings, self.channels = settings, channels
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return h_L, of the shape of x."""
        for block in self.blocks:
            x = block(x)
        return x


def to_module(net: Any, learn_scale: bool) -> BlockStack:
    """Return a `BlockStack` with copies of a net's arrays; in evaluation mode if it is frozen."""
    xp = resolve_namespace(torch)
    arrays = {name: convert(array, xp) for name, array in net._held.items()}
    like = arrays["scale"]
    fixed, channels = "mean1" in arrays, arrays["bias1"].shape[1]
    made = []
    # Making layers draws weights; that must not move torch's global random state.
    with torch.random.fork_rng(devices=[like.device] if like.device.type == "cuda" else []):
        for _ in range(net.depth):
            block = TorchBlock(net.kind, net.layers, net.activation, learn_scale)
            for number in range(1, net.layers + 1):
                setattr(block, f"layer{number}", _layer(channels, arrays["weight1"].ndim))
                setattr(block, f"norm{number}", _norm(net.norm, channels, arrays["weight1"].ndim))
            made.append(block)
    options = {name: getattr(net, name) for name in ("kind", "activation", "norm")}
    options |= {"image": net.image} if hasattr(net, "image") else {}
    module = BlockStack(options, channels, made).to(like)
    with torch.no_grad():
        for name, array in arrays.items():
            for block, value in zip(module.blocks, array, strict=True):
                _tensor(block, name).copy_(value)
    return module.eval() if fixed else module


def from_module(module: Any, kind: type) -> Any:
    """Return a net of class `kind` with copies of a module's arrays; frozen if it is in evaluation mode."""
    if not isinstance(module, BlockStack):
        raise TypeError(f"module must be what to_torch returns; got {type(module).__name__}")
    options = dict(module.settings)
    if ("image" in options) != hasattr(kind, "image"):
        other = "Conv" if "image" in options else "Dense"
        raise TypeError(f"module is that of a {other}; read it with resnets.{other}.from_torch")
    _check_unchanged(module)
    names = ["weight", "bias"] + (["gain", "shift"] if options["norm"] != "none" else [])
    if options["norm"] == "batch" and not module.training:
        names += ["mean", "variance"]
    layers = module.blocks[0].layers
    wanted = ["scale", *(f"{name}{n}" for n in range(1, layers + 1) for name in names)]
    rows = {name: [_tensor(block, name).detach() for block in module.blocks] for name in wanted}
    found = {f"{tensor.dtype} on {tensor.device}" for each in rows.values() for tensor in each}
    if len(found) > 1:  # which `stack` would promote
        raise TypeError(f"module must have one dtype and one device; got {', '.join(sorted(found))}")
    return kind(**{name: torch.stack(each) for name, each in rows.items()}, **options)


def _check_unchanged(module: BlockStack) -> None:
    """Raise ValueError if a layer no longer computes what a net does; its numbers may be any."""
    if not len(module.blocks):
        raise ValueError("module.blocks is empty; expected one block at least")
    settings, axes = module.settings, 5 if "image" in module.settings else 3
    with torch.device("meta"):  # where no numbers are drawn
        made = {"phi": PHI[settings["activation"]](), "layer": _layer(module.channels, axes)}
        made["norm"] = _norm(settings["norm"], module.channels, axes)
    parts = ["phi", *(part + n for n in "12"[: module.blocks[0].layers] for part in ("layer", "norm"))]
    for l, block in enumerate(module.blocks):
        for name in parts:
            own, expected = getattr(block, name), made[name.rstrip("12")]
            if hasattr(own, "momentum"):  # moves the running statistics, not the output
                expected.momentum = own.momentum
            if not isinstance(own, type(expected)) or own.extra_repr() != expected.extra_repr():
                raise ValueError(f"module.blocks[{l}].{name} must be {expected}; got {own}")
            if hasattr(own, "running_mean") and own.training != module.training:
                mode = {True: "training", False: "evaluation"}
                raise ValueError(
                    f"module.blocks[{l}].{name} is in {mode[own.training]} mode, module in "
                    f"{mode[module.training]} mode; call module.train() or module.eval() on the whole"
                )


def _layer(channels: int, axes: int) -> nn.Module:
    return nn.Linear(channels, channels) if axes == 3 else nn.Conv2d(channels, channels, 3, padding=1)


def _norm(norm: str, channels: int, axes: int) -> nn.Module:
    if norm == "none":
        return nn.Identity()
    if norm == "batch":
        return (nn.BatchNorm1d if axes == 3 else nn.BatchNorm2d)(channels, eps=EPSILON)
    return nn.LayerNorm(channels, eps=EPSILON) if axes == 3 else nn.GroupNorm(1, channels, eps=EPSILON)


def _tensor(block: TorchBlock, name: str) -> torch.Tensor:
    """Return what a block holds under one of our names, e.g. norm2.weight for 'gain2'."""
    if name == "scale":
        return block.scale
    kind, number = name[:-1], name[-1]
    if kind in ("mean", "variance"):
        return getattr(getattr(block, f"norm{number}"), "running_mean" if kind == "mean" else "running_var")
    part = ("norm" if kind in ("gain", "shift") else "layer") + number
    tensor = getattr(getattr(block, part), TORCH_NAMES[kind])
    if tensor is None:
        raise ValueError(f"{part} of a block must have its {TORCH_NAMES[kind]}; got None")
    return tensor
