r"""Identity RNNs: a ReLU network that starts by keeping what it has.

    h_{t+1} = max(0, W_ih x_t + b_ih + W_hh h_t + b_hh)      W_hh = scale · I,  W_ih ∼ N(0, std²),  b = 0
    J_t     = ∂h_{t+1}/∂h_t = scale · diag(m_t)              at the start; m_t = 1 where a unit is on, else 0
    ∂h_T/∂h_t = scale^(T−t) · diag(m_t ⊙ … ⊙ m_{T−1})        each unit by itself: its path is open or shut

Only the recurrent weights are the identity. An input matrix that is one too would feed the first D units and
leave the others at 0, where ReLU has slope 0: they would never learn.

Index legend: t time, T steps, D inputs, H units; I the identity (H, H); m_t (B, H) the units that are on.

Source: Le, Jaitly and Hinton (2015), who draw W_ih with std = 0.001, start speech at scale = 0.01, and clip.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from .base.arrays import convert, random_stream, resolve_dtype, resolve_namespace
from .base.errors import real_number, whole_number
from .base.rnn import RNN
from .base.torch_weights import check_settable, suffixes

__all__ = ["init", "initialize_", "module"]


def init(
    inputs: int,
    hidden: int,
    scale: float = 1.0,
    std: float = 0.001,
    seed: int = 0,
    xp: ModuleType | None = None,
    device: Any = None,
    dtype: Any = "float64",
) -> RNN:
    """Return a ReLU network whose recurrent weights are the identity, times `scale`.

    Parameters
    ----------
    inputs, hidden : int
        D and H.
    scale : float
        What each unit keeps of itself in one step. 1 keeps all; below it the network forgets like scaleᵗ,
        above it the states and the gradients grow like it.
    std : float
        Standard deviation of the input weights. They must not be 0: a unit at 0 has slope 0.
    seed : int
        Of the input weights; the same seed gives the same numbers under every `xp`.
    xp, device, dtype
        As for `RNN.init`.

    Returns
    -------
    RNN
        With `activation='relu'` and zero biases.

    Raises
    ------
    ValueError, TypeError
        A size that is not a positive integer, a scale or std that is not a positive number.

    Examples
    --------
    >>> from vglib import irnn
    >>> irnn.init(inputs=2, hidden=3).weight_hh
    array([[1., 0., 0.],
           [0., 1., 0.],
           [0., 0., 1.]])
    """
    inputs, hidden = whole_number("inputs", inputs, 1), whole_number("hidden", hidden, 1)
    scale, std = real_number("scale", scale, 0, above=True), real_number("std", std, 0, above=True)
    xp, seed = resolve_namespace(xp), whole_number("seed", seed, 0)
    weight_ih = convert(_input_weights(hidden, inputs, std, seed, ""), xp, dtype, device)
    where = {"dtype": weight_ih.dtype, "device": device}
    weight_hh, zeros = scale * xp.eye(hidden, **where), xp.zeros(hidden, **where)
    return RNN(weight_ih, weight_hh, zeros, xp.asarray(zeros, copy=True), activation="relu")


def module(
    inputs: int,
    hidden: int,
    scale: float = 1.0,
    std: float = 0.001,
    seed: int = 0,
    device: Any = None,
    dtype: Any = "float32",
    **options: Any,
) -> Any:
    """Return a `torch.nn.RNN` that starts as an identity RNN, to be trained with PyTorch.

    With one layer it has the weights of `init`, and `RNN.from_torch` takes it back.

    Parameters
    ----------
    inputs, hidden, scale, std, seed
        As for `init`.
    device, dtype
        As for `torch.nn.RNN`; dtype by name or torch's own.
    **options
        Further arguments of `torch.nn.RNN`, e.g. `num_layers=2`.

    Raises
    ------
    ValueError, TypeError
        As `init` and `initialize_`; a `nonlinearity` other than 'relu'.

    Examples
    --------
    >>> import torch
    >>> from vglib import irnn
    >>> layer = irnn.module(inputs=2, hidden=3)
    >>> outputs, last = layer(torch.ones(150, 1, 2))
    >>> torch.equal(layer.weight_hh_l0.detach(), torch.eye(3))
    True
    """
    import torch

    inputs, hidden = whole_number("inputs", inputs, 1), whole_number("hidden", hidden, 1)
    options = {"nonlinearity": "relu", **options}
    dtype = resolve_dtype(resolve_namespace(torch), dtype)
    device = torch.device("cpu" if device is None else device)
    # Making a module draws weights; that must not move torch's global random state.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        made = torch.nn.RNN(inputs, hidden, device=device, dtype=dtype, **options)
    initialize_(made, scale, std, seed)
    return made


def initialize_(module: Any, scale: float = 1.0, std: float = 0.001, seed: int = 0) -> tuple[str, ...]:
    """Make a reader's own ReLU `torch.nn.RNN` or `RNNCell` an identity RNN, in place.

    Every layer and direction gets W_hh = scale · I, input weights from N(0, std²) and zero biases. In a
    stack the layers above see the layer below through weights of size `std`, so the signal shrinks by about
    std · √H a layer: raise `std` there.

    Parameters
    ----------
    module : torch.nn.RNN or torch.nn.RNNCell
        With `nonlinearity='relu'`. Its dtype, device and `requires_grad` stay.
    scale, std, seed
        As for `init`; a module of one layer gets the very numbers of `init`.

    Returns
    -------
    tuple of str
        Names of the parameters that were set.

    Raises
    ------
    TypeError
        Another kind of module. (The recurrent matrix of an LSTM or GRU feeds gates: an identity there keeps
        nothing.)
    ValueError
        tanh units, which squash what the identity keeps; weights that are parametrised, so that they cannot
        be set; weights without data, on the device 'meta'.

    Examples
    --------
    >>> import torch
    >>> from vglib import irnn
    >>> model = torch.nn.Sequential(torch.nn.RNN(2, 3, nonlinearity="relu"))
    >>> irnn.initialize_(model[0], scale=0.9)
    ('weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0')
    """
    import torch

    if not isinstance(module, torch.nn.RNN | torch.nn.RNNCell):
        raise TypeError(f"module must be a torch.nn.RNN or torch.nn.RNNCell; got {type(module).__name__}")
    if module.nonlinearity != "relu":
        raise ValueError(
            "module must have nonlinearity='relu', so that a unit that is on is passed on unchanged; "
            f"got nonlinearity={module.nonlinearity!r}"
        )
    scale, std, seed = (
        real_number("scale", scale, 0, above=True),
        real_number("std", std, 0, above=True),
        whole_number("seed", seed, 0),
    )
    endings = suffixes(module)
    for suffix in endings:  # all of them before any is changed
        for name in ("weight_ih", "weight_hh"):
            check_settable(module, name + suffix)
    with torch.no_grad():
        for suffix in endings:
            weight = getattr(module, "weight_ih" + suffix)
            drawn = _input_weights(*weight.shape, std, seed, suffix.removesuffix("_l0"))
            weight.copy_(torch.from_numpy(drawn))
            weight = getattr(module, "weight_hh" + suffix)
            weight.copy_(scale * torch.eye(len(weight), dtype=weight.dtype, device=weight.device))
            for name in ("bias_ih", "bias_hh"):
                bias = getattr(module, name + suffix, None)
                if bias is not None:
                    bias.zero_()
    return tuple(name for name, _ in module.named_parameters(recurse=False))


def _input_weights(hidden: int, inputs: int, std: float, seed: int, suffix: str) -> Any:
    """Return W_ih (H, D), the same for the explicit cell and for PyTorch's first layer."""
    return random_stream(seed, f"irnn.init{suffix}").normal(0.0, std, (hidden, inputs))
