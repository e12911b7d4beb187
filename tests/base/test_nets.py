"""Deep nets: how they start, move, go to PyTorch and back, and what they refuse."""

import copy
import pickle

import numpy as np
import pytest

from vglib import NonFiniteError, bptt, clipping, jacobians, resnets, truncation
from vglib.base.chain import Chain
from vglib.base.parameters import Parameters

DENSE = resnets.Dense.init(4, 3, "pre-activation", norm="layer")
CONV = resnets.Conv.init((2, 3, 4), 3, norm="batch")
X = np.random.default_rng(0).normal(size=(3, 4))
IMAGES = np.random.default_rng(1).normal(size=(3, 2, 3, 4))
TRACE = bptt.unroll(DENSE, X)
NETS = [(DENSE, X), (CONV, IMAGES)]


# -- making and moving ------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", resnets.STARTS)
def test_starts_have_the_spread_they_are_named_for(start):
    for net, fan in (
        (resnets.Dense.init(64, 20, start=start), 64),
        (resnets.Conv.init((16, 2, 2), 20, start=start), 144),
    ):
        std = {
            "he": (2 / fan) ** 0.5,
            "glorot": fan**-0.5,
            "orthogonal": fan**-0.5,
            "torch": (3 * fan) ** -0.5,
        }
        for weight in (net.weight1, net.weight2):
            assert np.std(weight) == pytest.approx(std[start], rel=0.02)
            assert abs(np.mean(weight)) < 0.02 * std[start]
        if start == "torch":
            assert np.max(np.abs(net.bias1)) < fan**-0.5
            assert np.std(net.bias2) == pytest.approx(std[start], rel=0.1)
        else:
            assert not np.any(net.bias1)
        if start == "orthogonal":
            rows = net.weight1.reshape(20, net.bias1.shape[1], -1)
            gram = rows @ rows.transpose(0, 2, 1)
            assert np.allclose(gram, np.eye(gram.shape[1]), atol=1e-12)


def test_he_takes_the_gain_of_the_activation_and_gain_multiplies():
    relu, tanh = (resnets.Dense.init(8, 2, activation=name) for name in ("relu", "tanh"))
    assert np.allclose(relu.weight1, np.sqrt(2) * tanh.weight1)
    assert np.allclose(resnets.Dense.init(8, 2, gain=0.5).weight2, relu.weight2 / 2)


@pytest.mark.parametrize("start", resnets.STARTS)
def test_a_deeper_net_begins_like_a_shallower_one(start):
    short, long = (resnets.Dense.init(4, depth, start=start, seed=3) for depth in (2, 5))
    for name in ("weight1", "weight2", "bias1", "bias2"):
        assert np.array_equal(getattr(short, name), getattr(long, name)[:2])
    assert len({w.tobytes() for w in (*long.weight1, *long.weight2)}) == 10
    assert not np.array_equal(long.weight1, resnets.Dense.init(4, 5, start=start, seed=4).weight1)


@pytest.mark.parametrize(("net", "x"), NETS)
def test_the_same_numbers_under_every_library(backend, dtype, net, x):
    there = net.to(xp=backend.xp, device=backend.device, dtype=dtype)
    assert (there.dtype, there.depth, there.size) == (dtype, net.depth, net.size)
    for name, array in there.parameters.items():
        backend.check(array, getattr(net, name), dtype)
    cls, first = type(net), 4 if x.ndim == 2 else x.shape[1:]
    options = {"kind": net.kind, "norm": net.norm, "dtype": dtype}
    drawn = cls.init(first, 3, **options, xp=backend.xp, device=backend.device)
    for name, array in drawn.parameters.items():
        backend.check(array, getattr(net, name), dtype)
    frozen = there.frozen(backend.array(x, dtype)) if net.norm == "batch" else there
    back = frozen.to(xp=np)
    assert (back.mean1 is None) == (net.norm != "batch")
    assert back.to().weight1 is not back.weight1


@pytest.mark.parametrize("make", [copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))])
def test_nets_and_traces_can_be_copied_and_sent(make):
    again = make(TRACE)
    assert np.array_equal(jacobians.log_norms(again), jacobians.log_norms(TRACE))
    assert again.cell.weight1 is not DENSE.weight1


def test_what_nets_and_traces_say_of_themselves():
    expected = "Dense(width=4, depth=3, kind='pre-activation', layers=2, activation='relu', norm='layer', "
    assert repr(DENSE) == expected + "dtype='float64')"
    assert repr(CONV).startswith("Conv(shape=(2, 3, 4), depth=3, kind='residual', layers=2,")
    assert repr(TRACE).startswith("Trace(L=3, B=3, cell=Dense(")
    assert (DENSE.size, CONV.size, CONV.layers) == (4, 24, 2)
    assert list(DENSE.parameters) == [
        *("weight1", "bias1", "scale", "weight2", "bias2", "gain1", "shift1", "gain2", "shift2")
    ]
    one = resnets.Dense.init(4, 3, layers=1)
    assert list(one.parameters) == ["weight1", "bias1", "scale"]
    assert one != resnets.Dense.init(4, 3, layers=1)


def test_images_are_states_in_shape(backend):
    net = CONV.to(xp=backend.xp, device=backend.device)
    images = backend.array(IMAGES)
    trace = bptt.unroll(net, images)
    shown = net.images(trace.states)
    assert tuple(shown.shape) == (4, 3, 2, 3, 4)
    backend.check(shown[0, ...], IMAGES)
    with pytest.raises(ValueError, match=r"states must have shape \(…, S=24\); got \(3, 23\)"):
        CONV.images(np.zeros((3, 23)))
    with pytest.raises(TypeError, match=r"states must be an array .*; got list"):
        CONV.images([1.0])


def test_rules_of_the_branch_scale():
    for beta, expected in (
        ("1", 1),
        ("1/sqrt(L)", 0.2),
        ("1/L", 0.04),
        ("skip-init", 0),
        (-0.3, -0.3),
        (2, 2),
    ):
        assert resnets.branch_scale(beta, 25) == pytest.approx(expected)
        assert np.allclose(resnets.Dense.init(2, 25, beta=beta).scale, expected)


# -- PyTorch ----------------------------------------------------------------------------------------------

every = pytest.mark.parametrize("form", ["dense", "conv"])
kinds = pytest.mark.parametrize("kind", resnets.KINDS)
layers = pytest.mark.parametrize("layers", [1, 2])
norms = pytest.mark.parametrize("norm", resnets.NORMS)


def drawn(form, kind="residual", layers=2, norm="none", **options):
    cls, first, x = (resnets.Dense, 4, X) if form == "dense" else (resnets.Conv, (2, 3, 4), IMAGES)
    net = cls.init(first, 3, kind, layers, norm=norm, start="torch", beta=0.5, **options)
    return net, x


@every
@kinds
@layers
@norms
def test_the_module_computes_the_same(torch, form, kind, layers, norm):
    net, x = drawn(form, kind, layers, norm)
    module = net.to_torch()
    states = [torch.tensor(x)]
    for block in module.blocks:
        states.append(block(states[-1]))
    assert torch.equal(module(states[0]), states[-1])
    expected = bptt.unroll(net, x).states
    assert np.allclose(np.stack([s.detach().numpy().reshape(3, -1) for s in states]), expected, atol=1e-12)
    assert "scale" not in "".join(dict(module.named_parameters()))
    back = type(net).from_torch(module)
    assert back.xp.__name__.endswith("torch")
    assert (back.kind, back.norm, back.activation) == (net.kind, net.norm, net.activation)
    for name, array in net.parameters.items():
        assert np.array_equal(back.parameters[name].numpy(), array)
    assert back.mean1 is None
    with torch.no_grad():
        module.blocks[1].layer1.weight += 1
    assert np.array_equal(back.weight1.numpy(), net.weight1)  # copies


@every
def test_frozen_nets_and_evaluation_mode_are_the_same(torch, form):
    net, x = drawn(form, norm="batch", xp=torch)
    x = torch.tensor(x)
    frozen = net.frozen(x)
    module = frozen.to_torch()
    assert not module.training
    assert torch.allclose(module(x[:1]).flatten(1), bptt.unroll(frozen, x[:1]).states[-1], atol=1e-12)
    back = type(net).from_torch(module)
    assert torch.equal(back.variance2, frozen.variance2)
    assert type(net).from_torch(module.train()).mean1 is None
    module(x)
    running = type(net).from_torch(module.eval())
    assert not torch.equal(running.mean1, frozen.mean1) or torch.equal(running.mean1, running.mean1 * 0)
    assert torch.allclose(module(x).flatten(1), bptt.unroll(running, x).states[-1], atol=1e-12)


def test_a_module_trains_and_its_scale_when_asked(torch):
    net, x = drawn("dense", "pre-activation", xp=torch, dtype="float32")
    net = net.replace(scale=net.scale * 0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 4), net.to_torch(learn_scale=True))
    names = dict(module.named_parameters())
    assert "1.blocks.2.scale" in names
    module(torch.tensor(x, dtype=torch.float32)).square().sum().backward()
    assert float(names["1.blocks.2.scale"].grad.abs()) > 0
    assert float(names["1.blocks.2.layer1.weight"].grad.abs().max()) == 0  # as β = 0
    torch.optim.SGD(module.parameters(), lr=0.01).step()
    trained = resnets.Dense.from_torch(module[1])
    assert float(trained.scale.abs().min()) > 0
    assert not trained.scale.requires_grad
    assert trained.dtype == "float32"


def test_to_torch_leaves_the_global_random_state_alone(torch):
    before = torch.random.get_rng_state()
    CONV.to_torch()
    assert torch.equal(torch.random.get_rng_state(), before)


# -- what is refused --------------------------------------------------------------------------------------


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
        TypeError, match="d_outputs must be an array, unless d_final is given; got None for both"
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
        call(TRACE)


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


def test_branch_scale_refuses():
    with pytest.raises(ValueError, match=r"beta must be one of '1', .*; got '1/l'"):
        resnets.branch_scale("1/l", 3)
    with pytest.raises(ValueError, match="depth must be at least 1; got 0"):
        resnets.branch_scale(1.0, 0)
    with pytest.raises(TypeError, match="beta must be a number; got True"):
        resnets.branch_scale(True, 3)


def test_a_new_chain_must_write_down_its_steps():
    class Nothing(Parameters, Chain):
        pass

    calls = [("begin", 3), ("at", 1), ("factors", 1), ("parameter_gradients", 2), ("input_gradients", 3)]
    for name, count in calls:
        with pytest.raises(NotImplementedError, match=f"Nothing.{name}"):
            getattr(Nothing(), name)(*[None] * count)
    for name in ("like", "parameters", "hidden"):
        with pytest.raises(NotImplementedError, match=f"Nothing.{name}"):
            getattr(Nothing(), name)
