"""Identity RNNs against closed forms, and against what torch.nn computes with the same weights."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vglib import RNN, bptt, irnn, jacobians

NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


@pytest.fixture
def rnn(torch):
    """Return a function that makes a ReLU `torch.nn.RNN`, or another module."""

    def make(*sizes, kind="RNN", **options):
        options = {"nonlinearity": "relu", **options} if kind.startswith("RNN") else options
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return getattr(torch.nn, kind)(*sizes, **options)

    return make


# -- the start -------------------------------------------------------------------------------------------


def test_the_start(backend, dtype):
    cell = irnn.init(3, 5, scale=0.5, seed=2, xp=backend.xp, device=backend.device, dtype=dtype)
    assert cell.activation == "relu"
    backend.check(cell.weight_hh, 0.5 * np.eye(5), dtype)
    for name in ("bias_ih", "bias_hh"):
        backend.check(getattr(cell, name), np.zeros(5), dtype, scale=1.0)
    assert cell.bias_ih is not cell.bias_hh
    same = irnn.init(3, 5, seed=2).weight_ih
    backend.check(cell.weight_ih, same, dtype)
    assert not np.array_equal(same, irnn.init(3, 5, seed=3).weight_ih)
    # One draw, stretched: two widths of the start see the same directions.
    np.testing.assert_allclose(irnn.init(3, 5, std=0.1, seed=2).weight_ih, 100 * same, rtol=1e-12)


def test_input_weights_have_the_spread_that_was_asked_for():
    drawn = irnn.init(100, 400, std=0.003).weight_ih
    assert drawn.std() == pytest.approx(0.003, rel=0.02)
    assert abs(drawn.mean()) < 4 * 0.003 / math.sqrt(drawn.size)


@given(
    hidden=st.integers(1, 5),
    steps=st.integers(1, 9),
    scale=st.sampled_from([0.5, 1.0, 1.25]),
    seed=st.integers(0, 99),
)
def test_the_jacobian_is_a_product_of_masks(backend, hidden, steps, scale, seed):
    cell = irnn.init(2, hidden, scale, 1.0, seed, xp=backend.xp, device=backend.device)
    x = np.random.default_rng(seed).normal(size=(steps, 3, 2))
    trace = bptt.unroll(cell, backend.array(x))
    # The oracle knows no matrix: each unit by itself, a running sum that is cut at 0.
    state, paths = np.zeros((3, hidden)), []
    for driven in x @ backend.numpy(cell.weight_ih).T:
        state = scale * state + driven
        paths.append(state > 0)
        state = np.maximum(state, 0)
    backend.check(trace.states[-1, ...], state, scale=max(1.0, state.max()))
    share = np.array([np.logical_and.reduce(paths[t:]).mean(axis=-1) for t in range(steps)])
    logs = backend.numpy(jacobians.log_norms(trace))[:-1]
    lag = np.arange(steps, 0, -1)[:, None]
    with np.errstate(divide="ignore"):
        expected = (
            lag * math.log(scale) + np.log(share) / 2
        )  # RMS over singular values, which are 0 or scaleᵠ
    np.testing.assert_array_equal(np.isneginf(logs), share == 0)
    np.testing.assert_allclose(logs[share > 0], expected[share > 0], atol=1e-12)


def test_a_unit_at_zero_has_no_gradient(backend):
    """Why std must be positive, and why the input weights must not be the identity too."""
    cell = irnn.init(2, 6, xp=backend.xp, device=backend.device)
    cell = cell.replace(weight_ih=backend.array(np.eye(6, 2)))
    x = backend.array(np.ones((4, 1, 2)))
    trace = bptt.unroll(cell, x)
    weights = bptt.backprop(trace, backend.array(np.ones((4, 1, 6)))).parameters
    assert (backend.numpy(trace.outputs)[-1, 0] > 0).tolist() == [True] * 2 + [False] * 4
    for name in NAMES:
        assert not backend.numpy(weights[name])[2:].any()
        assert backend.numpy(weights[name])[:2].any()


# -- PyTorch ---------------------------------------------------------------------------------------------


def test_module_is_the_explicit_cell(torch, dtype):
    tolerance = {"float64": 1e-12, "float32": 1e-5}[dtype]
    module = irnn.module(2, 5, scale=0.9, std=0.5, seed=4, dtype=dtype)
    cell = RNN.from_torch(module)
    start = irnn.init(2, 5, scale=0.9, std=0.5, seed=4, xp=torch, dtype=dtype)
    assert (cell.activation, cell.dtype) == ("relu", dtype)
    for name in NAMES:
        assert torch.equal(getattr(cell, name), getattr(start, name))
    x = torch.tensor(np.random.default_rng(0).normal(size=(30, 3, 2)), dtype=getattr(torch, dtype))
    leaf = x.clone().requires_grad_()
    out, _ = module(leaf)
    out.square().sum().backward()
    trace = bptt.unroll(start, x)
    assert torch.allclose(trace.outputs, out, rtol=tolerance, atol=tolerance)
    grads = bptt.backprop(trace, 2 * trace.outputs)
    for name in NAMES:
        expected = getattr(module, name + "_l0").grad
        assert torch.allclose(grads.parameters[name], expected, rtol=0, atol=tolerance * expected.abs().max())
    assert torch.allclose(grads.inputs, leaf.grad, rtol=0, atol=tolerance * leaf.grad.abs().max())


def test_module_leaves_the_global_random_state(torch):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    irnn.module(2, 5)
    assert torch.equal(torch.rand(3), expected)


def test_module_hands_options_on(torch):
    module = irnn.module(2, 3, dtype=torch.float64, num_layers=2, batch_first=True, bias=False)
    assert (module.num_layers, module.batch_first, module.nonlinearity) == (2, True, "relu")
    assert module.weight_hh_l1.dtype == torch.float64
    assert torch.equal(module.weight_hh_l1, torch.eye(3, dtype=torch.float64))


@pytest.mark.parametrize(
    "options", [{"num_layers": 3}, {"bidirectional": True, "num_layers": 2}, {"bias": False}]
)
def test_every_layer_and_direction(torch, rnn, options):
    module = rnn(2, 4, **options)
    before = {name: (id(p), p.data_ptr()) for name, p in module.named_parameters()}
    module.weight_ih_l0.requires_grad_(False)
    assert irnn.initialize_(module, scale=0.7, std=0.2, seed=1) == tuple(before)
    assert {name: (id(p), p.data_ptr()) for name, p in module.named_parameters()} == before
    assert not module.weight_ih_l0.requires_grad
    drawn = []
    for name, p in module.named_parameters():
        if "weight_hh" in name:
            assert torch.equal(p, 0.7 * torch.eye(4))
        elif "bias" in name:
            assert not p.any()
        else:
            drawn.append(tuple(p.flatten().tolist()[:3]))
            assert 0.05 < p.std() < 0.4
    assert len(set(drawn)) == len(drawn)  # each its own draw
    first = irnn.init(2, 4, std=0.2, seed=1, xp=torch, dtype="float32").weight_ih
    assert torch.equal(module.weight_ih_l0, first)


def test_a_one_step_cell(torch, rnn):
    module = rnn(2, 4, kind="RNNCell", dtype=torch.float64)
    irnn.initialize_(module, seed=3)
    cell, expected = RNN.from_torch(module), irnn.init(2, 4, seed=3, xp=torch)
    assert all(torch.equal(getattr(cell, name), getattr(expected, name)) for name in NAMES)


def test_half_precision_and_training(torch, rnn):
    module = rnn(2, 4, dtype=torch.bfloat16)
    irnn.initialize_(module)
    assert module.weight_hh_l0.dtype == torch.bfloat16
    module = rnn(2, 4)
    irnn.initialize_(module, std=1.0)
    module(torch.ones(5, 1, 2))[0].sum().backward()
    assert module.weight_hh_l0.grad.any()


# -- bad input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"inputs": 0}, ValueError, "inputs must be at least 1; got 0"),
        ({"inputs": 2.0}, TypeError, r"inputs must be an integer; got 2\.0"),
        ({"hidden": -1}, ValueError, "hidden must be at least 1; got -1"),
        ({"hidden": True}, TypeError, "hidden must be an integer; got True"),
        ({"seed": -1}, ValueError, "seed must be at least 0; got -1"),
        ({"scale": 0}, ValueError, "scale must be finite and above 0; got 0"),
        ({"scale": -1.0}, ValueError, r"scale must be finite and above 0; got -1\.0"),
        ({"scale": math.inf}, ValueError, "scale must be finite and above 0; got inf"),
        ({"scale": "1"}, TypeError, "scale must be a number; got '1'"),
        ({"scale": True}, TypeError, "scale must be a number; got True"),
        ({"std": 0.0}, ValueError, r"std must be finite and above 0; got 0\.0"),
        ({"std": math.nan}, ValueError, "std must be finite and above 0; got nan"),
        ({"std": None}, TypeError, "std must be a number; got None"),
        ({"std": [1.0, 2.0]}, TypeError, r"std must be a number; got \[1\.0, 2\.0\]"),
    ],
)
def test_bad_numbers(torch, rnn, changes, error, message):
    with pytest.raises(error, match=message):
        irnn.init(**{"inputs": 2, "hidden": 3, **changes})
    with pytest.raises(error, match=message):
        irnn.module(**{"inputs": 2, "hidden": 3, **changes})
    if not {"inputs", "hidden"} & set(changes):
        module = rnn(2, 3)
        before = [p.clone() for p in module.parameters()]
        with pytest.raises(error, match=message):
            irnn.initialize_(module, **changes)
        assert all(torch.equal(p, b) for p, b in zip(module.parameters(), before, strict=True))


def test_bad_kinds():
    with pytest.raises(TypeError, match="xp must be an array module"):
        irnn.init(2, 3, xp="numpy")
    with pytest.raises(TypeError, match=r"dtype must be one of float32, float64.*; got int64"):
        irnn.init(2, 3, dtype="int64")


@pytest.mark.parametrize("dtype", ["flot32", "int64", "Tensor"])
def test_bad_dtypes_of_a_module(torch, dtype):
    with pytest.raises(TypeError, match=f"dtype must be one of float32, float64, .*; got {dtype}"):
        irnn.module(2, 3, dtype=dtype)
    assert irnn.module(2, 3, dtype=np.float64).weight_hh_l0.dtype == torch.float64  # any library's own word


def test_modules_that_are_refused(torch, rnn):
    for bad in (rnn(2, 3, kind="LSTM"), rnn(2, 3, kind="GRU"), torch.nn.Linear(3, 3), None, irnn.init(2, 3)):
        with pytest.raises(TypeError, match=rf"must be a torch.nn.RNN or .*; got {type(bad).__name__}"):
            irnn.initialize_(bad)
    with pytest.raises(ValueError, match=r"module must have nonlinearity='relu'.*; got nonlinearity='tanh'"):
        irnn.initialize_(rnn(2, 3, nonlinearity="tanh"))
    with pytest.raises(ValueError, match=r"module must have nonlinearity='relu'.*; got nonlinearity='tanh'"):
        irnn.module(2, 3, nonlinearity="tanh")
    with pytest.raises(ValueError, match="weight_ih_l0 is on the device 'meta'"):
        irnn.initialize_(rnn(2, 3, device="meta"))


def test_a_parametrised_matrix_is_refused_before_anything_is_changed(torch, rnn):
    module = rnn(2, 3, num_layers=2)
    torch.nn.utils.parametrizations.orthogonal(module, "weight_hh_l1")
    before = module.weight_hh_l0.clone()
    with pytest.raises(ValueError, match="weight_hh_l1 is computed by a parametrisation"):
        irnn.initialize_(module)
    assert torch.equal(module.weight_hh_l0, before)
