"""What deep nets refuse: settings, arrays, inputs, derivatives, and calls that need shared weights."""

import numpy as np
import pytest

from vglib import NonFiniteError, bptt, clipping, jacobians, resnets, truncation

DENSE = resnets.Dense.init(4, 3, "pre-activation", norm="layer")
CONV = resnets.Conv.init((2, 3, 4), 3, norm="batch")
X = np.random.default_rng(0).normal(size=(3, 4))
IMAGES = np.random.default_rng(1).normal(size=(3, 2, 3, 4))
NETS = [(DENSE, X), (CONV, IMAGES)]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"width": 0}, ValueError, "width must be at least 1; got 0"),
        ({"width": 2.0}, TypeError, "width must be an integer; got 2.0"),
        ({"depth": 0}, ValueError, "depth must be at least 1; got 0"),
        ({"depth": None}, TypeError, "depth must be an integer; got None"),
        ({"kind": "preactivation"}, ValueError, "kind must be one of 'plain', .*; got 'preactivation'"),
        ({"layers": 3}, ValueError, "layers must be one of 1, 2; got 3"),
        ({"activation": "swish"}, ValueError, "activation must be one of 'tanh', .*got 'swish'"),
        ({"norm": None}, ValueError, "norm must be one of 'none', 'batch', 'layer'; got None"),
        ({"beta": "1/√L"}, ValueError, r"beta must be one of '1', '1/sqrt\(L\)', .*; got '1/√L'"),
        ({"beta": None}, TypeError, "beta must be a number; got None"),
        ({"beta": float("nan")}, ValueError, "beta must be finite; got nan"),
        ({"start": "kaiming"}, ValueError, "start must be one of 'he', .*; got 'kaiming'"),
        ({"gain": -1.0}, ValueError, "gain must be finite and at least 0; got -1.0"),
        ({"seed": -1}, ValueError, "seed must be at least 0; got -1"),
        ({"xp": "numpy"}, TypeError, "xp must be an array module"),
        ({"dtype": "int64"}, TypeError, "dtype must be one of float32, float64; got int64"),
        ({"dtype": "bfloat16"}, TypeError, "half precision needs torch tensors"),
    ],
)
def test_init_refuses(options, error, message):
    with pytest.raises(error, match=message):
        resnets.Dense.init(**{"width": 2, "depth": 3, **options})
    if "width" not in options:
        with pytest.raises(error, match=message):
            resnets.Conv.init((2, 3, 3), **{"depth": 3, **options})


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [
        (4, ValueError, r"shape must be \(channels, height, width\); got 4"),
        ((4, 4), ValueError, r"shape must be \(channels, height, width\); got \(4, 4\)"),
        ("444", ValueError, "shape must be .*; got '444'"),
        ((4, 0, 4), ValueError, "shape must be at least 1; got 0"),
        ((4, 4, 2.5), TypeError, "shape must be an integer; got 2.5"),
    ],
)
def test_conv_refuses_shapes(shape, error, message):
    with pytest.raises(error, match=message):
        resnets.Conv.init(shape, 2)


@pytest.mark.parametrize(
    ("net", "changes", "error", "message"),
    [
        (
            DENSE,
            {"weight1": np.zeros((3, 4, 5))},
            ValueError,
            r"weight1 must have shape .*S=4.*; got \(3, 4, 5\)",
        ),
        (DENSE, {"weight1": np.zeros((4, 4))}, ValueError, "weight1 must have shape .*2 axes instead of 3"),
        (DENSE, {"weight1": None}, TypeError, "weight1 must be an array .*; got NoneType"),
        (DENSE, {"weight2": np.zeros((2, 4, 4))}, ValueError, "weight2 must have shape .*L is 2, expected 3"),
        (DENSE, {"bias1": np.zeros((3, 5))}, ValueError, "bias1 must have shape .*S is 5, expected 4"),
        (DENSE, {"scale": np.zeros(4)}, ValueError, "scale must have shape .*L is 4, expected 3"),
        (DENSE, {"scale": 0.5}, TypeError, "scale must be an array .*; got float"),
        (DENSE, {"shift2": None}, TypeError, "shift2 must be an array .*; got NoneType"),
        (
            DENSE,
            {"gain1": np.ones((3, 4), np.float32)},
            TypeError,
            "gain1 is float32 but the entries of weight1",
        ),
        (DENSE, {"weight2": None}, ValueError, "bias2: a net of layers=1, norm='layer' has none"),
        (DENSE, {"norm": "none"}, ValueError, "gain1: a net of layers=2, norm='none' has none"),
        (DENSE, {"mean1": np.zeros((3, 4))}, ValueError, "mean1: only a net with norm='batch'.*got 'layer'"),
        (DENSE, {"kind": "dense"}, ValueError, "kind must be one of"),
        (DENSE, {"activation": 3}, ValueError, "activation must be one of"),
        (DENSE, {"norm": "group"}, ValueError, "norm must be one of"),
        (DENSE, {"width": 3}, TypeError, "Dense has no width; it has weight1, bias1, scale"),
        (
            CONV,
            {"weight1": np.zeros((3, 2, 2, 5, 5))},
            ValueError,
            "weight1 must have shape .*3 is 5, expected 3",
        ),
        (CONV, {"bias1": np.zeros((3, 24))}, ValueError, "bias1 must have shape .*C is 24, expected 2"),
        (CONV, {"mean1": np.zeros((3, 2))}, TypeError, "variance1 must be an array .*; got NoneType"),
        (CONV, {"variance2": np.ones((3, 2))}, ValueError, "variance2: a net of .* has none"),
        (CONV, {"image": (3,)}, ValueError, r"image must be \(height, width\); got \(3,\)"),
        (CONV, {"image": (0, 3)}, ValueError, "image must be at least 1; got 0"),
    ],
)
def test_arrays_and_settings_that_do_not_fit(net, changes, error, message):
    with pytest.raises(error, match=message):
        net.replace(**changes)


@pytest.mark.parametrize(("net", "x"), NETS)
def test_inputs_that_do_not_fit(net, x):
    for call in (lambda v: bptt.unroll(net, v), *([net.frozen] if net.norm == "batch" else [])):
        axes = r"\(B, S=4\)" if x.ndim == 2 else r"\(B, C=2, H=3, W=4\)"
        with pytest.raises(ValueError, match=rf"x must have shape {axes}; got .*axes instead of {x.ndim}"):
            call(x[None])
        with pytest.raises(ValueError, match=rf"x must have shape {axes}; got .*is 3, expected 4"):
            call(x[..., :3])
        with pytest.raises(ValueError, match=rf"x must have shape {axes}.*B is empty"):
            call(x[:0])
        with pytest.raises(TypeError, match=r"x must be an array .*; got list"):
            call(x.tolist())
        with pytest.raises(TypeError, match="x is float32 but the net's weights are float64"):
            call(x.astype("float32"))
        with pytest.raises(NonFiniteError, match="x is not finite"):
            call(x * np.nan)
    with pytest.raises(ValueError, match="initial must be None through depth"):
        bptt.unroll(net, x, x)


@pytest.mark.parametrize(("net", "x"), NETS)
def test_derivatives_that_do_not_fit(net, x):
    trace = bptt.unroll(net, x)
    good, size = np.ones((3, net.size)), net.size
    with pytest.raises(
        TypeError, match="d_outputs must be an array or a callable, unless a d_final says all; got None"
    ):
        bptt.backprop(trace)
    with pytest.raises(ValueError, match=rf"d_outputs must have shape \(L=3, B=3, H={size}\); got"):
        bptt.backprop(trace, good)
    with pytest.raises(ValueError, match=rf"d_final must have shape \(B=3, S={size}\); got"):
        bptt.backprop(trace, d_final=good[:2])
    with pytest.raises(NonFiniteError, match="d_final is not finite"):
        bptt.backprop(trace, d_final=good * np.inf)
    with pytest.raises(ValueError, match="want must be one of"):
        bptt.backprop(trace, d_final=good, want="weights")
    only = bptt.backprop(trace, d_final=good, want="inputs")
    assert only.parameters is None
    assert only.states is None
    assert not np.shares_memory(only.inputs, only.initial)
    by_chunk = bptt.backprop(trace, lambda start, stop: np.ones((stop - start, *good.shape)))
    whole = bptt.backprop(trace, np.ones((3, *good.shape)))
    assert np.array_equal(by_chunk.states, whole.states)
    assert not np.shares_memory(whole.inputs, whole.states)
    nothing = bptt.backprop(trace, d_final=good, want=())
    assert (nothing.parameters, nothing.inputs, nothing.states) == (None, None, None)
    assert np.array_equal(nothing.initial, only.initial)
    last = bptt.backprop(trace, np.concatenate([np.zeros((2, *good.shape)), good[None]]))
    assert np.array_equal(last.states[:-1], bptt.backprop(trace, d_final=good).states[:-1])


@pytest.mark.parametrize(
    "call",
    [
        lambda t: bptt.contributions(t, np.ones((3, 3, 4))),
        lambda t: bptt.influence(t, np.ones((3, 3, 4))),
        lambda t: truncation.backprop(t, np.ones((3, 3, 4)), 2),
        lambda t: truncation.randomized(t, np.ones((3, 3, 4)), [1.0] * 3),
        lambda t: clipping.by_step(t, np.ones((3, 3, 4)), 1.0),
    ],
)
def test_what_needs_shared_weights_refuses_a_deep_net(call):
    with pytest.raises(
        TypeError, match=r"trace must be of a recurrent cell, .*got one of Dense, through depth"
    ):
        call(bptt.unroll(DENSE, X))


def test_what_runs_a_cell_refuses_a_deep_net():
    with pytest.raises(TypeError, match=r"cell must be a vglib cell .*; got Dense"):
        bptt.rtrl(DENSE, np.ones((3, 3, 4)), np.ones((3, 3, 4)))
    with pytest.raises(TypeError, match=r"cell must .*; got Dense"):
        jacobians.hochreiter_bound(DENSE, [1])


@pytest.mark.parametrize("thing", [None, X, "net"])
def test_what_is_no_module(torch, thing):
    with pytest.raises(TypeError, match=f"module must be what to_torch returns; got {type(thing).__name__}"):
        resnets.Dense.from_torch(thing)


def test_a_module_of_the_other_form(torch):
    with pytest.raises(TypeError, match=r"module is that of a Conv; read it with resnets\.Conv\.from_torch"):
        resnets.Dense.from_torch(CONV.to_torch())
    with pytest.raises(
        TypeError, match=r"module is that of a Dense; read it with resnets\.Dense\.from_torch"
    ):
        resnets.Conv.from_torch(DENSE.to_torch())


def normed(form, norm="batch"):
    """Return the module of a net, made anew."""
    first = 4 if form == "dense" else (2, 3, 4)
    return (resnets.Dense if form == "dense" else resnets.Conv).init(first, 3, norm=norm).to_torch()


def exchange(form, norm, make):
    """Return a module whose block 1 has another `make(nn)`, given as (name, layer)."""
    import torch

    module = normed(form, norm)
    name, layer = make(torch.nn)
    setattr(module.blocks[1], name, layer.double())
    return module


@pytest.mark.parametrize(
    ("form", "norm", "make"),
    [
        ("dense", "none", lambda nn: ("layer1", nn.Linear(4, 4, bias=False))),
        ("dense", "none", lambda nn: ("layer2", nn.Linear(4, 5))),
        ("dense", "none", lambda nn: ("layer2", nn.Sequential(nn.Linear(4, 4)))),
        ("dense", "none", lambda nn: ("norm1", nn.LayerNorm(4))),
        ("dense", "batch", lambda nn: ("norm1", nn.BatchNorm1d(4, eps=1e-3))),
        ("dense", "batch", lambda nn: ("norm2", nn.BatchNorm1d(4, affine=False))),
        ("dense", "batch", lambda nn: ("norm2", nn.BatchNorm1d(4, track_running_stats=False))),
        ("dense", "layer", lambda nn: ("phi", nn.GELU())),
        ("conv", "layer", lambda nn: ("norm1", nn.GroupNorm(2, 2))),
        ("conv", "none", lambda nn: ("layer1", nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"))),
        ("conv", "none", lambda nn: ("layer1", nn.Conv2d(2, 2, 3, padding=2, dilation=2))),
    ],
)
def test_a_module_whose_layers_were_exchanged(torch, form, norm, make):
    module = exchange(form, norm, make)
    cls = resnets.Dense if form == "dense" else resnets.Conv
    with pytest.raises(ValueError, match=r"module\.blocks\[1\]\.(layer|norm|phi)[12]? must be .*; got "):
        cls.from_torch(module)


def test_a_module_that_lost_what_it_was_made_of(torch):
    module = normed("dense")
    module.blocks[2].norm1.bias = None
    with pytest.raises(
        ValueError, match=r"module\.blocks\[2\]\.norm1 must |norm1 of a block must have its bias"
    ):
        resnets.Dense.from_torch(module)
    module = normed("dense")
    del module.blocks[:]
    with pytest.raises(ValueError, match=r"module\.blocks is empty"):
        resnets.Dense.from_torch(module)
    module = normed("dense")
    module.blocks[0].float()
    with pytest.raises(
        TypeError, match=r"module must have one dtype .*got torch\.float32 on cpu, torch\.float64"
    ):
        resnets.Dense.from_torch(module)


def test_a_module_half_in_training_mode(torch):
    module = normed("conv")
    module.blocks[1].norm2.eval()
    with pytest.raises(
        ValueError, match=r"blocks\[1\]\.norm2 is in evaluation mode, module in training mode"
    ):
        resnets.Conv.from_torch(module)
    module.eval()
    module.blocks[0].norm1.train()
    with pytest.raises(
        ValueError, match=r"blocks\[0\]\.norm1 is in training mode, module in evaluation mode"
    ):
        resnets.Conv.from_torch(module)


def test_branch_scale_refuses():
    with pytest.raises(ValueError, match=r"beta must be one of '1', .*; got '1/l'"):
        resnets.branch_scale("1/l", 3)
    with pytest.raises(ValueError, match="depth must be at least 1; got 0"):
        resnets.branch_scale(1.0, 0)
    with pytest.raises(TypeError, match="beta must be a number; got True"):
        resnets.branch_scale(True, 3)
    with pytest.raises(ValueError, match="beta must be finite; got 1000"):
        resnets.branch_scale(10**400, 3)
