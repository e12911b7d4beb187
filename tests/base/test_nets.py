"""Deep nets: how they start, move, and go to PyTorch and back."""

import copy
import pickle

import numpy as np
import pytest

from vglib import bptt, jacobians, resnets

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
    other = x.flip(-1) * 3 + 1
    module(other)  # moves the running statistics by a tenth towards those of this batch
    running, theirs = type(net).from_torch(module.eval()), net.frozen(other)
    shared = x.numel() // net.bias1.shape[1]
    for name, factor in (
        ("mean1", 1),
        ("variance1", shared / (shared - 1)),
        ("variance2", shared / (shared - 1)),
    ):
        expected = 0.9 * getattr(frozen, name) + 0.1 * factor * getattr(theirs, name)
        assert torch.allclose(getattr(running, name), expected, rtol=1e-12)
        assert not torch.allclose(getattr(running, name), getattr(frozen, name), rtol=0.01)
    assert torch.allclose(module(x).flatten(1), bptt.unroll(running, x).states[-1], atol=1e-12)


def test_numbers_of_a_module_may_change_and_are_copied(torch):
    net, x = drawn("dense", norm="batch", xp=torch)
    module, state = net.to_torch(), torch.random.get_rng_state()
    torch.nn.utils.parametrizations.weight_norm(module.blocks[0].layer1)
    module.blocks[1].layer1 = module.blocks[0].layer2  # one layer in two places
    module.blocks[2].norm1.momentum = 0.5
    with torch.no_grad():
        module.blocks[0].layer1.parametrizations.weight.original0 *= 2
    back = resnets.Dense.from_torch(module)
    assert torch.allclose(back.weight1[0], 2 * net.weight1[0])
    assert torch.equal(back.weight1[1], net.weight2[0])
    assert torch.allclose(module(torch.tensor(x)), bptt.unroll(back, torch.tensor(x)).states[-1], atol=1e-12)
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.zero_()
    assert float(back.weight2.abs().min()) > 0
    assert resnets.Dense.from_torch(net.to_torch().half()).dtype == "float16"
    assert torch.equal(torch.random.get_rng_state(), state)


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
