"""Deep nets against PyTorch's layers and autograd, against matrices multiplied by hand, and closed forms."""

import dataclasses
import math

import numpy as np
import pytest

from vglib import NonFiniteError, bptt, jacobians, resnets

CLASSES = {"dense": resnets.Dense, "conv": resnets.Conv}
SHAPES = {"dense": (5,), "conv": (2, 3, 4)}
NAMES = ["weight1", "bias1", "gain1", "shift1", "weight2", "bias2", "gain2", "shift2", "scale"]


@dataclasses.dataclass(frozen=True)
class Case:
    """A net all of whose parameters are random, a batch, and the direct derivatives of a loss."""

    net: object
    plain: dict
    x: np.ndarray
    d_outputs: np.ndarray
    d_final: np.ndarray

    def given(self, backend, name):
        return backend.array(getattr(self, name), self.net.dtype)


def place(backend, dtype="float64"):
    """Return where a new net shall live."""
    return {"xp": backend.xp, "device": backend.device, "dtype": dtype}


def make(backend, form, kind, layers, norm, dtype="float64", activation="tanh", depth=3, batch=4, seed=0):
    cls, shape = CLASSES[form], SHAPES[form]
    first = shape[0] if form == "dense" else shape
    net = cls.init(first, depth, kind, layers, activation, norm, **place(backend, dtype))
    draw = np.random.default_rng([seed, depth, batch])
    changed = {}
    for name in net.parameters:
        spread = {"g": (1.0, 0.3), "s": (0.8, 0.2)}.get(name[0], (0.0, 0.4))
        values = draw.normal(*spread, size=tuple(net.parameters[name].shape))
        changed[name] = backend.array(values if name[:5] != "shift" else values - 0.8, dtype)
    net = net.replace(**changed)
    size = math.prod(shape)
    plain = {name: backend.numpy(array) for name, array in net.parameters.items()}
    arrays = (draw.normal(size=s) for s in ((batch, *shape), (depth, batch, size), (batch, size)))
    return Case(net, plain, *(backend.numpy(backend.array(a, dtype)) for a in arrays))


def blocks(torch, plain, net, training=True):
    """Return the blocks of a net as functions of torch, and their weights: the formula in other words."""
    F = torch.nn.functional
    weights = {name: torch.tensor(array, requires_grad=True) for name, array in plain.items()}
    functions = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "linear": lambda a: a}
    phi = functions[net.activation]

    def block(l):
        w = {name: array[l] for name, array in weights.items()}

        def W(n):
            if w["weight1"].ndim == 2:
                return lambda z: F.linear(z, w[f"weight{n}"], w[f"bias{n}"])
            return lambda z: F.conv2d(z, w[f"weight{n}"], w[f"bias{n}"], padding=1)

        def N(n):
            if net.norm == "none":
                return lambda z: z
            gain, shift = w[f"gain{n}"], w[f"shift{n}"]
            if net.norm == "batch":
                fixed = [None, None]
                if not training:
                    fixed = [torch.tensor(getattr(net, f"{s}{n}")[l]) for s in ("mean", "variance")]
                return lambda z: F.batch_norm(z, *fixed, gain, shift, training=training)
            if w["weight1"].ndim == 2:
                return lambda z: F.layer_norm(z, z.shape[1:], gain, shift)
            return lambda z: F.group_norm(z, 1, gain, shift)

        order = (
            {
                "plain": [W(1), N(1), phi, W(2), N(2)],
                "residual": [W(1), N(1), phi, W(2), N(2)],
                "activated": [W(1), N(1), phi, W(2), N(2), phi],
                "pre-activation": [N(1), phi, W(1), N(2), phi, W(2)],
            }
            if net.layers == 2
            else {
                "plain": [W(1), N(1)],
                "residual": [W(1), N(1)],
                "activated": [W(1), N(1), phi],
                "pre-activation": [N(1), phi, W(1)],
            }
        )

        def run(h):
            branch = h
            for part in order[net.kind]:
                branch = part(branch)
            total = w["scale"] * branch if net.kind == "plain" else h + w["scale"] * branch
            return phi(total) if net.kind in ("plain", "residual") else total

        return run

    return [block(l) for l in range(net.depth)], weights


every = pytest.mark.parametrize("form", list(CLASSES))
kinds = pytest.mark.parametrize("kind", resnets.KINDS)
layers = pytest.mark.parametrize("layers", [1, 2])
norms = pytest.mark.parametrize("norm", resnets.NORMS)


@every
@kinds
@layers
@norms
def test_states_and_all_gradients_equal_autograd(torch, backend, dtype, form, kind, layers, norm):
    case = make(backend, form, kind, layers, norm, dtype)
    run, weights = blocks(torch, case.plain, case.net)
    states = [torch.tensor(case.x, requires_grad=True)]
    for block in run:
        states.append(block(states[-1]))
        states[-1].retain_grad()
    last = torch.tensor(case.d_final)
    loss = (states[-1].flatten(1) * last).sum()
    for state, direct in zip(states[1:], case.d_outputs, strict=True):
        loss = loss + (state.flatten(1) * torch.tensor(direct)).sum()
    loss.backward()

    trace = bptt.unroll(case.net, case.given(backend, "x"))
    assert (trace.steps, trace.batch) == (3, 4)
    backend.check(trace.states, np.stack([s.detach().flatten(1).numpy() for s in states]), dtype)
    grads = bptt.backprop(trace, case.given(backend, "d_outputs"), case.given(backend, "d_final"))
    expected = np.stack([s.grad.flatten(1).numpy() for s in states])
    backend.check(grads.states, expected, dtype)
    backend.check(grads.inputs, states[0].grad.numpy(), dtype, scale=np.max(np.abs(expected[0])))
    backend.check(grads.initial, expected[0], dtype)
    assert list(grads.parameters) == list(case.net.parameters)
    assert set(grads.parameters) == set(weights) <= set(NAMES)
    largest = max(float(w.grad.abs().max()) for w in weights.values())
    for name, gradient in grads.parameters.items():
        # Before a batch norm a bias does nothing: its gradient is 0 but for rounding.
        backend.check(gradient, weights[name].grad.numpy(), dtype, scale=largest)


@every
@kinds
@layers
@norms
def test_jacobians_equal_autograd(torch, backend, dtype, form, kind, layers, norm):
    case = make(backend, form, kind, layers, norm, dtype)
    net, x = case.net, case.given(backend, "x")
    if norm == "batch":
        net = net.frozen(x)
    trace = bptt.unroll(net, x)
    whole = jacobians.steps(trace)
    states = [s.reshape(case.x.shape) for s in backend.numpy(trace.states)]
    exact = net.to(xp=np, dtype="float64")
    run, _ = blocks(torch, case.plain, exact, training=False)
    product, logs = np.eye(net.size), [np.zeros(4)]
    expected = []
    for l in range(3):
        h = torch.tensor(states[l])
        one = torch.func.vmap(torch.func.jacrev(lambda s, l=l: run[l](s[None])[0].flatten()))(h)
        expected.append(one.reshape(4, net.size, net.size).detach().numpy())
        backend.check(whole[l, ...], expected[l], dtype)
    for one, same in zip(jacobians.stream(trace, reverse=True), backend.numpy(whole)[::-1], strict=True):
        backend.check(one, same, dtype)
    for l in reversed(range(3)):
        product = product @ expected[l]
        logs.append(np.log(np.linalg.norm(product, axis=(1, 2)) / math.sqrt(net.size)))
    backend.check(jacobians.log_norms(trace), np.stack(logs[::-1]), dtype, scale=10)


@every
@kinds
@layers
@norms
def test_a_row_of_the_jacobian_is_the_gradient_of_one_output(backend, form, kind, layers, norm):
    case = make(backend, form, kind, layers, norm, activation="relu", batch=2)
    x, net = case.given(backend, "x"), case.net
    net = net.frozen(x) if norm == "batch" else net
    trace = bptt.unroll(net, x)
    rows = backend.array(np.eye(net.size))[:, None, :]
    for t, J in enumerate(jacobians.stream(trace)):
        block = net.at(t)
        factors = block.factors(tuple(kept[t, ...] for kept in trace.saved))
        by_rows = backend.numpy(block.backward_step(factors, rows)[0]).transpose(1, 0, 2)
        backend.check(J, by_rows)
        at_once = [f[t, ...] for f in net.factors(trace.saved)]
        for one, same in zip(factors, at_once, strict=True):
            backend.check(one, backend.numpy(same))


@every
def test_a_branch_of_zeros_leaves_everything_as_it_is(backend, dtype, form):
    for options in (("pre-activation", 2, "relu"), ("activated", 1, "tanh"), ("residual", 2, "linear")):
        case = make(backend, form, options[0], options[1], "none", dtype, options[2], depth=7)
        zeros = {name: 0 * array for name, array in case.net.parameters.items() if name != "scale"}
        for net in (case.net.replace(**zeros), case.net.replace(scale=0 * case.net.scale)):
            trace = bptt.unroll(net, case.given(backend, "x"))
            grads = bptt.backprop(trace, d_final=case.given(backend, "d_final"))
            for l in range(8):
                assert np.array_equal(backend.numpy(trace.states)[l], case.x.reshape(4, -1))
                assert np.array_equal(backend.numpy(grads.states)[l], case.d_final)
            J = backend.numpy(jacobians.steps(trace))
            assert np.array_equal(J, np.broadcast_to(np.eye(net.size), J.shape))
            assert np.all(backend.numpy(jacobians.log_norms(trace)) == 0)


def linear(backend, matrices, beta, kind="residual", dtype="float64"):
    """Return h ↦ (s + β W_l) h, layer by layer."""
    depth, size = np.shape(matrices)[:2]
    net = resnets.Dense.init(size, depth, kind, 1, "linear", beta=beta, **place(backend, dtype))
    return net.replace(weight1=backend.array(matrices, dtype))


@kinds
def test_a_linear_net_is_its_product_of_matrices(backend, kind):
    W = np.random.default_rng(0).normal(size=(6, 4, 4)) / 2
    trace = bptt.unroll(linear(backend, W, 0.3, kind), backend.array(np.ones((2, 4))))
    product = np.eye(4)
    for matrix in W:
        product = (0.3 * matrix + (0 if kind == "plain" else np.eye(4))) @ product
    sigma = np.linalg.svd(product, compute_uv=False)
    logs = jacobians.log_singular_values(trace)
    backend.check(backend.xp.exp(logs), np.stack([sigma, sigma]), scale=10 * sigma[0])
    assert backend.numpy(jacobians.log_norms(trace, ord=2))[0] == pytest.approx(np.log(sigma[0]), rel=1e-12)
    backend.check(trace.states[-1, ...], np.stack([product @ np.ones(4)] * 2))


@pytest.mark.parametrize("gain", [0.2, 5.0])
def test_a_thousand_blocks_neither_under_nor_overflow(backend, dtype, gain):
    depth = backend.length(1000)
    options = {"activation": "linear", "start": "orthogonal", "gain": gain}
    net = resnets.Dense.init(4, depth, "plain", 1, **options, **place(backend, dtype))
    # From 0 the forward pass stays 0, however the weights are.
    trace = bptt.unroll(net, backend.array(np.zeros((2, 4)), dtype))
    expected = np.log(gain) * np.arange(depth, -1, -1)[:, None] * np.ones((1, 2))
    backend.check(jacobians.log_norms(trace), expected, dtype)
    if depth == 1000 and gain < 1:  # a gradient itself does not survive that
        grads = bptt.backprop(trace, d_final=backend.array(np.ones((2, 4)), dtype))
        assert np.all(backend.numpy(grads.inputs) == 0)


def test_deep_nets_by_kind(backend):
    """Plain ReLU nets lose the gradient where residual ones of the same weights keep it."""
    depth = backend.length(1000)
    x = backend.array(np.random.default_rng(0).normal(size=(2, 16)))
    found = {}
    for kind, beta in (("plain", "1"), ("pre-activation", "1/sqrt(L)"), ("pre-activation", "1")):
        net = resnets.Dense.init(16, depth, kind, 1, beta=beta, start="torch", **place(backend))
        trace = bptt.unroll(net, x)
        found[kind, beta] = backend.numpy(jacobians.log_norms(trace))[0]
    assert np.all(found["plain", "1"] < -0.1 * depth)
    assert np.all(np.abs(found["pre-activation", "1/sqrt(L)"]) < 1)
    assert np.all(found["pre-activation", "1"] > 0.02 * depth)


def test_small_is_not_small_enough_unless_it_shrinks_with_depth(backend):
    """1.1 to the 152nd is two million; with β = 1/L the same slopes stay below e^0.1."""
    x = backend.array(np.zeros((1, 1)))
    logs = []
    for beta in ("1", "1/L", "1/sqrt(L)", "skip-init"):
        trace = bptt.unroll(linear(backend, np.full((152, 1, 1), 0.1), beta), x)
        logs.append(float(backend.numpy(jacobians.log_norms(trace))[0, 0]))
    assert math.exp(logs[0]) == pytest.approx(1.1**152, rel=1e-12)
    assert math.exp(logs[0]) == pytest.approx(1.957e6, rel=1e-3)
    assert logs[1] == pytest.approx(152 * math.log1p(0.1 / 152), rel=1e-12)
    assert logs[1] < 0.1
    assert logs[2] == pytest.approx(152 * math.log1p(0.1 / math.sqrt(152)), rel=1e-12)
    assert logs[3] == 0


@pytest.mark.parametrize("depth", [4, 16, 64, 256])
def test_the_product_stays_below_e_to_the_sigma_for_one_over_depth(depth):
    net = resnets.Dense.init(8, depth, "residual", 1, "linear", beta="1/L", start="orthogonal", gain=2.0)
    largest = jacobians.log_norms(bptt.unroll(net, np.ones((1, 8))), ord=2)[0, 0]
    assert 0 < largest <= depth * math.log1p(2 / depth) < 2


@pytest.mark.parametrize("depth", [4, 64])
def test_independent_branches_grow_in_the_mean_square_as_the_formula_says(depth):
    """E JᵀJ = (1 + β² S Var W) I for branches with mean zero: e at β = 1/√L, whatever the depth."""
    squares = []
    for seed in range(200):
        options = {"activation": "linear", "beta": "1/sqrt(L)", "start": "glorot", "seed": seed}
        net = resnets.Dense.init(16, depth, "residual", 1, **options)
        squares.append(math.exp(2 * jacobians.log_norms(bptt.unroll(net, np.ones((1, 16))))[0, 0]))
    error = np.std(squares) / math.sqrt(200)
    assert np.mean(squares) == pytest.approx((1 + 1 / depth) ** depth, abs=4 * error)
    assert error < 0.1


@every
@kinds
def test_frozen_nets_give_the_same_outputs_and_couple_nothing(backend, dtype, form, kind):
    case = make(backend, form, kind, 2, "batch", dtype)
    x = case.given(backend, "x")
    frozen = case.net.frozen(x)
    states = backend.numpy(bptt.unroll(case.net, x).states)
    backend.check(bptt.unroll(frozen, x).states, states, dtype)
    one = bptt.unroll(frozen, x[1:2, ...])
    backend.check(one.states, states[:, 1:2], dtype)
    assert "frozen" in repr(frozen)
    assert "frozen" not in repr(case.net)
    assert frozen.parameters.keys() == case.net.parameters.keys()
    other = backend.array(case.x[::-1] ** 2, dtype)  # what was frozen before plays no part
    for name in ("mean2", "variance2"):
        expected = backend.numpy(getattr(case.net.frozen(other), name))
        backend.check(getattr(frozen.frozen(other), name), expected, dtype)
        assert np.max(np.abs(expected - backend.numpy(getattr(frozen, name)))) > 0.01
    # The gradient that leaves the statistics out is another one.
    d_final = case.given(backend, "d_final")
    traces = (bptt.unroll(net, x) for net in (case.net, frozen))
    exact, other = (backend.numpy(bptt.backprop(trace, d_final=d_final).inputs) for trace in traces)
    assert np.max(np.abs(exact - other)) > 0.01 * np.max(np.abs(exact))


@every
def test_what_batch_norm_refuses(backend, form):
    case = make(backend, form, "residual", 1, "batch")
    x = case.given(backend, "x")
    trace = bptt.unroll(case.net, x)
    for call in (jacobians.steps, jacobians.stream, jacobians.log_norms, jacobians.log_singular_values):
        with pytest.raises(ValueError, match=r"trace: with norm='batch' .*frozen = net\.frozen\(x\)"):
            call(trace)
    first, one = (5, (1, 5)) if form == "dense" else ((5, 1, 1), (1, 5, 1, 1))
    small = CLASSES[form].init(first, 2, norm="batch")
    with pytest.raises(
        ValueError, match=r"x must hold at least two samples for norm='batch'.*got one\..*frozen"
    ):
        bptt.unroll(small, np.zeros(one))
    if form == "conv":  # twelve positions are a statistic, as in PyTorch
        bptt.unroll(case.net, x[:1, ...])
    with pytest.raises(ValueError, match="norm must be 'batch' for its statistics to be frozen; got 'layer'"):
        make(backend, form, "residual", 1, "layer").net.frozen(x)


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@every
@norms
def test_half_precision(torch, half, form, norm):
    shape = SHAPES[form]
    first, options = shape[0] if form == "dense" else shape, {"activation": "tanh", "norm": norm, "beta": 0.5}
    exact = CLASSES[form].init(first, 3, **options, xp=torch)
    x = torch.tensor(np.random.default_rng(0).normal(size=(4, *shape)))
    net, low = exact.to(dtype=half), x.to(getattr(torch, half))
    if norm == "batch":
        net, exact = net.frozen(low), exact.frozen(x)
    pairs = [(bptt.unroll(n, a), torch.ones_like(a).flatten(1)) for n, a in ((net, low), (exact, x))]
    grads, expected = (bptt.backprop(trace, d_final=ones) for trace, ones in pairs)
    eps = float(torch.finfo(getattr(torch, half)).eps)
    for name, gradient in {**grads.parameters, "inputs": grads.inputs}.items():
        same = {**expected.parameters, "inputs": expected.inputs}[name]
        assert gradient.dtype == getattr(torch, half)
        assert float((gradient.double() - same).abs().max()) < 40 * eps * float(same.abs().max()) + 40 * eps
    logs = jacobians.log_norms(bptt.unroll(net, low))
    assert float((logs.double() - jacobians.log_norms(bptt.unroll(exact, x))).abs().max()) < 20 * eps


@every
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_norms_square_large_numbers_in_half_precision(torch, form, norm):
    """As PyTorch's layers: 400 squared is beyond float16, and so is a variance, but not its root."""
    shape = SHAPES[form]
    first = shape[0] if form == "dense" else shape
    net = CLASSES[form].init(first, 1, "plain", 1, "tanh", norm, xp=torch, dtype="float16")
    x = torch.tensor(400 * np.random.default_rng(0).normal(size=(4, *shape))).half()
    trace = bptt.unroll(net, x)
    expected = net.to_torch()(x).detach().flatten(1)
    assert float(expected.abs().max()) > 0.8
    assert float((trace.states[-1] - expected).abs().max()) < 4e-3
    assert float(bptt.backprop(trace, d_final=expected).parameters["gain1"].abs().max()) > 0.5
    if norm == "batch":
        with pytest.raises(NonFiniteError, match="variance1 is not finite"):
            net.frozen(x)


@every
def test_a_variance_that_overflows_is_reported(backend, form):
    for norm in ("batch", "layer"):
        case = make(backend, form, "pre-activation", 1, norm)
        with pytest.raises(NonFiniteError, match=r"states is not finite .*first at step 1;"):
            bptt.unroll(case.net, backend.array(case.x * 1e160))


def test_not_finite_is_named_by_layer():
    net = resnets.Dense.init(3, 5, "pre-activation", activation="linear", dtype="float32", gain=1e10)
    x = np.ones((2, 3), np.float32)
    with pytest.raises(NonFiniteError, match=r"states is not finite .*first at step 2;"):
        bptt.unroll(net, x)
    trace = bptt.unroll(net, x, nonfinite="return")
    assert np.isfinite(trace.states[1]).all()
    with pytest.raises(NonFiniteError, match=r"trace\.states is not finite"):
        bptt.backprop(trace, d_final=x)
    with pytest.raises(NonFiniteError, match="x is not finite"):
        bptt.unroll(net, np.full((2, 3), np.nan, np.float32))
    broken = net.replace(bias2=np.full((5, 3), np.inf, np.float32))
    with pytest.raises(NonFiniteError, match="bias2 is not finite"):
        bptt.unroll(broken, x)
    with pytest.raises(NonFiniteError, match="states is not finite"):
        resnets.Dense.init(3, 5, norm="batch").replace(scale=np.full(5, 1e308)).frozen(np.eye(3))
