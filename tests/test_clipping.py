"""Clipping against PyTorch's own, closed forms and plain loops; what must not happen to bad gradients."""

import math
from collections import OrderedDict, namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vglib import RNN, NonFiniteError, bptt, clipping, jacobians
from vglib.base import autoclip

ORDERS = [1, 1.5, 2, 3, math.inf]
SHAPES = {"w": (4, 3), "b": (4,), "s": ()}


def plain_gradients(seed=0, scale=1.0):
    draw = np.random.default_rng(seed)
    return {name: scale * draw.normal(size=shape) for name, shape in SHAPES.items()}


def flat(gradients):
    return np.concatenate([np.ravel(np.asarray(g, dtype="float64")) for g in gradients])


# -- explicit: by norm ----------------------------------------------------------------


@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize("limit", [0.7, 1e3])
def test_by_norm_is_the_formula(backend, dtype, p, limit):
    plain = plain_gradients()
    arrays = {name: backend.array(g, dtype) for name, g in plain.items()}
    clipped, norm = clipping.by_norm(arrays, limit, p)
    whole = flat(plain.values())
    expected = np.linalg.norm(whole, p)
    backend.check(norm, expected, dtype)
    assert list(clipped) == list(plain)
    for name, g in plain.items():
        backend.check(clipped[name], g * min(1, limit / expected), dtype)
        assert clipped[name] is not arrays[name]
        np.testing.assert_allclose(backend.numpy(arrays[name]), g, rtol=1e-6)


@pytest.mark.parametrize("p", ORDERS)
def test_by_norm_equals_torch(torch, p):
    arrays = [torch.tensor(g) for g in plain_gradients(scale=5).values()]
    parameters = [torch.nn.Parameter(torch.zeros_like(g)) for g in arrays]
    for parameter, g in zip(parameters, arrays, strict=True):
        parameter.grad = g.clone()
    total = torch.nn.utils.clip_grad_norm_(parameters, 1.3, p)
    clipped, norm = clipping.by_norm(arrays, 1.3, p)
    torch.testing.assert_close(norm, total)
    for ours, theirs in zip(clipped, parameters, strict=True):
        torch.testing.assert_close(ours, theirs.grad, rtol=1e-5, atol=0)  # theirs adds 1e-6 to the norm


def test_structure_comes_back(backend):
    pair = namedtuple("pair", "w b")
    g = [backend.array([3.0, 0.0]), backend.array([[4.0]])]
    for some in (g, tuple(g), pair(*g)):
        clipped, _ = clipping.by_norm(some, 1.0)
        assert type(clipped) is type(some)
        assert type(clipping.by_value(some, 1.0)) is type(some)
        backend.check(clipped[0], [0.6, 0.0])
        backend.check(clipped[1], [[0.8]])
    clipped, _ = clipping.by_norm(OrderedDict(w=g[0], b=g[1]), 1.0)
    assert list(clipped) == ["w", "b"]
    alone, norm = clipping.by_norm(g[0], 1.5)
    backend.check(alone, [1.5, 0.0])
    backend.check(norm, 3.0)


def test_short_gradients_are_copied_bit_for_bit(backend, dtype):
    g = backend.array([0.1, -0.2, 1e-30], dtype)
    clipped, _ = clipping.by_norm(g, 1.0)
    np.testing.assert_array_equal(backend.numpy(clipped), backend.numpy(g))
    again = clipping.by_value(g, 1.0)
    np.testing.assert_array_equal(backend.numpy(again), backend.numpy(g))
    if backend.name == "numpy":
        assert not np.shares_memory(clipped, g)
        assert not np.shares_memory(again, g)


@pytest.mark.parametrize("size", [1e-300, 1e-160, 1.0, 1e160, 1.7e308])
@pytest.mark.parametrize("p", [1, 2, 3, math.inf])
def test_direction_and_length_at_any_size(backend, size, p):
    shape = np.array([1.0, -0.5, 0.25, 0.0])
    g = backend.array(size * shape)
    clipped, norm = clipping.by_norm([g], 1e-301, p)
    backend.check(clipped[0], 1e-301 * shape / np.linalg.norm(shape, p))
    exact = float(np.linalg.norm(shape, p)) * size
    np.testing.assert_allclose(float(norm), exact, rtol=1e-14)


def test_a_norm_beyond_the_range_is_clipped_all_the_same(backend, dtype):
    top = float(np.finfo(dtype).max)
    clipped, norm = clipping.by_norm([backend.array([top, top, -top], dtype)], 1.0)
    assert float(norm) == math.inf
    backend.check(clipped[0], np.array([1, 1, -1]) / math.sqrt(3), dtype)


@given(
    st.lists(st.floats(-1e10, 1e10, allow_subnormal=False), min_size=1, max_size=6),
    st.floats(1e-6, 1e6),
)
def test_it_never_gets_longer_nor_turns(values, limit):
    g = np.array(values)
    clipped, norm = clipping.by_norm(g, limit)
    length = np.linalg.norm(clipped)
    assert length <= min(limit, max(norm, 0)) * (1 + 1e-12)
    assert abs(clipped @ g - length * norm) <= 1e-9 * max(length * norm, 1e-300)


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_half_precision(torch, half):
    dtype = getattr(torch, half)
    g = torch.tensor([60000.0, -30000.0, 6.0], dtype=dtype)
    clipped, norm = clipping.by_norm([g], 1.0)
    assert norm.dtype == torch.float32
    exact = g.double()
    torch.testing.assert_close(norm.double(), exact.norm(), rtol=1e-6, atol=0)
    assert clipped[0].dtype == dtype
    torch.testing.assert_close(clipped[0].double(), exact / exact.norm(), rtol=1e-2, atol=1e-6)
    parameter = torch.nn.Parameter(torch.zeros(3, dtype=dtype))
    parameter.grad = g.clone()
    torch.testing.assert_close(clipping.by_norm_(parameter, 1.0), norm)
    torch.testing.assert_close(parameter.grad, clipped[0], rtol=1e-2, atol=1e-6)


def test_what_is_not_finite(backend, dtype):
    def trap(last):
        return {"w": backend.array([1.0, last], dtype), "b": backend.array([2.0], dtype)}

    for value in (math.inf, -math.inf, math.nan):
        with pytest.raises(NonFiniteError, match=r"gradients\['w'\] is not finite"):
            clipping.by_norm(trap(value), 1.0)
        with pytest.raises(NonFiniteError, match=r"gradients\['w'\] is not finite"):
            clipping.by_value(trap(value), 1.0)
        clipped, norm = clipping.by_norm(trap(value), 1.0, nonfinite="zero")
        assert not np.isfinite(float(norm))
        assert math.isnan(float(norm)) == math.isnan(value)
        for some in (clipped, clipping.by_value(trap(value), 1.0, nonfinite="zero")):
            backend.check(some["w"], [0.0, 0.0], dtype)
            backend.check(some["b"], [0.0], dtype)
    clipped, norm = clipping.by_norm(trap(math.inf), 1.0, nonfinite="return")
    assert float(norm) == math.inf
    np.testing.assert_array_equal(backend.numpy(clipped["w"]), [0.0, np.nan])
    np.testing.assert_array_equal(backend.numpy(clipped["b"]), [0.0])
    clipped, norm = clipping.by_norm(trap(math.nan), 1.0, nonfinite="return")
    assert np.isnan(backend.numpy(clipped["b"])).all()
    held = clipping.by_value(trap(-math.inf), 1.5, nonfinite="return")
    np.testing.assert_array_equal(backend.numpy(held["w"]), [1.0, -1.5])


# -- explicit: by value, by step, adaptive ----------------------------------------------------------------


def test_by_value_is_the_formula(backend, dtype):
    plain = plain_gradients()
    clipped = clipping.by_value({n: backend.array(g, dtype) for n, g in plain.items()}, 0.4)
    for name, g in plain.items():
        backend.check(clipped[name], np.clip(g, -0.4, 0.4), dtype)


def test_by_step_is_the_recursion_with_bounded_factors(backend, dtype, kind, problem, oracle):
    p = problem(backend, kind, dtype, T=5, scale=3.0)
    trace = bptt.unroll(p.cell, p.x, p.initial)
    grads = clipping.by_step(trace, p.d_outputs, 0.6, p.d_final)
    states, hidden = p.run(), p.cell.hidden
    bar = p.plain.d_final.copy()
    bars, scales = [], []
    for t in reversed(range(5)):
        bar = bar.copy()
        bar[:, :hidden] += p.plain.d_outputs[t]
        bars.append(bar)
        d = oracle.complex_step(lambda s, t=t: p.run(x=p.plain.x[t : t + 1], initial=s)[1], states[t])
        J = np.stack([d[b, :, b, :] for b in range(2)])
        sigma = np.linalg.norm(J, 2, axis=(1, 2))
        scale = np.where(sigma > 0.6, 0.6 / np.where(sigma > 0, sigma, 1), 1.0)
        scales.append(scale)
        bar = np.einsum("bi,bij->bj", bar, J) * scale[:, None]
    backend.check(grads.states, np.stack([bar, *bars[::-1]][:1] + bars[::-1]), dtype)
    backend.check(grads.initial, bar, dtype)
    # The weights' gradient from those messages, as if each step had its own copy.
    arriving = np.stack(bars[::-1])
    per_step = p.per_step("weight_hh")

    def one(w):
        return np.sum(
            arriving
            * np.stack(
                [p.run(x=p.plain.x[t : t + 1], initial=states[t], weight_hh=w[t])[1] for t in range(5)]
            )
        )

    expected = oracle.complex_step(one, np.array(per_step)).sum(axis=0)
    backend.check(grads.parameters["weight_hh"], expected, dtype)


def test_by_step_without_need_is_backprop(backend, dtype, kind, problem):
    p = problem(backend, kind, dtype)
    trace = bptt.unroll(p.cell, p.x, p.initial)
    ours, plain = (
        clipping.by_step(trace, p.d_outputs, 1e6, p.d_final),
        bptt.backprop(trace, p.d_outputs, p.d_final),
    )
    for name, g in plain.parameters.items():
        backend.check(ours.parameters[name], backend.numpy(g), dtype)
    only = clipping.by_step(trace, lambda a, b: p.d_outputs[a:b, ...], 0.5, want="inputs")
    assert only.parameters is None
    assert only.states is None
    assert type(trace.cell) is not type(only)


def test_by_step_bounds_the_message_and_turns_the_gradient():
    cell = RNN.init(3, 8, seed=1)
    cell = cell.replace(weight_hh=4 * cell.weight_hh)
    x = np.random.default_rng(0).normal(size=(30, 1, 3))
    trace = bptt.unroll(cell, x)
    d = np.zeros((30, 1, 8))
    d[-1] = 1.0
    clipped = clipping.by_step(trace, d, 1.0)
    lengths = np.linalg.norm(clipped.states[:, 0], axis=-1)
    assert (np.diff(lengths) >= -1e-12).all()  # backwards it never grows
    g, h = (flat(grads.parameters.values()) for grads in (bptt.backprop(trace, d), clipped))
    assert g @ h / np.linalg.norm(g) / np.linalg.norm(h) < 0.999
    assert np.max(jacobians.log_norms(trace, ord=2)) > 0  # there was something to bound


def test_adaptive_is_by_row(backend, dtype):
    draw = np.random.default_rng(0)
    w = {
        "w": draw.normal(size=(6, 3)),
        "b": draw.normal(size=6),
        "row": draw.normal(size=(1, 4)),
        "k": np.zeros((2, 3, 2)),
    }
    g = {name: 5 * draw.normal(size=value.shape) for name, value in w.items()}
    g["w"][2] *= 1e-4
    arrays = [{n: backend.array(v, dtype) for n, v in side.items()} for side in (w, g)]
    clipped, norm = clipping.adaptive(*arrays, clipping=0.1, eps=0.01)
    backend.check(norm, np.linalg.norm(flat(g.values())), dtype)
    for name in w:
        expected = g[name].copy()
        whole = name in ("b", "row")  # a vector in effect
        for i in [...] if whole else range(len(expected)):
            limit = 0.1 * max(np.linalg.norm(w[name][i]), 0.01)
            length = np.linalg.norm(g[name][i])
            expected[i] *= min(1, limit / length)
        backend.check(clipped[name], expected, dtype)
    np.testing.assert_array_equal(backend.numpy(clipped["w"])[2], backend.numpy(arrays[1]["w"])[2])
    left, _ = clipping.adaptive(*arrays, clipping=0.1, exclude=("w",))
    np.testing.assert_array_equal(backend.numpy(left["w"]), backend.numpy(arrays[1]["w"]))
    assert left["w"] is not arrays[1]["w"]


def test_adaptive_goes_by_name_and_not_by_order():
    draw = np.random.default_rng(0)
    weights, gradients = ({n: draw.normal(size=(3, 3)) for n in "ab"} for _ in range(2))
    expected, _ = clipping.adaptive(weights, gradients)
    found, _ = clipping.adaptive(dict(reversed(weights.items())), gradients)
    assert list(found) == list(gradients)
    np.testing.assert_array_equal([*found.values()], [*expected.values()])


def test_adaptive_takes_gates_apart(torch):
    layer = torch.nn.LSTM(3, 4)
    layer(torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0)))[0].sum().backward()
    name, H = "weight_hh_l0", 4
    weight, grad = layer.weight_hh_l0, layer.weight_hh_l0.grad.clone()
    clipped, _ = clipping.adaptive({name: weight.detach()}, {name: grad}, clipping=0.05)
    for gate in range(4):
        rows = slice(gate * H, (gate + 1) * H)
        alone, _ = clipping.adaptive({name: weight.detach()[rows]}, {name: grad[rows]}, clipping=0.05)
        torch.testing.assert_close(clipped[name][rows], alone[name], rtol=0, atol=0)
    clipping.adaptive_(layer, clipping=0.05)
    torch.testing.assert_close(weight.grad, clipped[name])


# -- percentile and AutoClip ----------------------------------------------------------------


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), st.floats(0, 100))
def test_percentile_is_numpys(values, q):
    expected = np.percentile(values, q)
    assert float(clipping.percentile(values, q)) == pytest.approx(expected, rel=1e-12, abs=1e-300)
    spoilt = [math.nan, *values, math.inf]
    assert float(clipping.percentile(spoilt, q, nonfinite="ignore")) == pytest.approx(
        expected, rel=1e-12, abs=1e-300
    )


def test_percentile_of_any_array(backend, dtype):
    norms = np.random.default_rng(0).lognormal(size=50)
    for q in (0, 10, 50, 100):
        backend.check(clipping.percentile(backend.array(norms, dtype), q), np.percentile(norms, q), dtype)


def test_autoclip_follows_the_last_norms(backend, dtype):
    norms = np.random.default_rng(1).lognormal(size=40)
    norms[[3, 17]] = math.inf, math.nan
    auto = clipping.AutoClip(percentile=30, history=12)
    kept = []
    for norm in norms:
        kept = [*kept, norm][-12:] if np.isfinite(norm) else kept
        backend.check(auto.update(backend.array(norm, dtype)), np.percentile(kept, 30), dtype)
    assert auto.norms.shape == (12,)


def test_autoclip_before_any_finite_norm_clips_nothing():
    auto = clipping.AutoClip()
    assert float(auto.update(math.nan)) == math.inf
    assert float(auto.update(np.float64(2.0))) == 2.0


def test_autoclip_in_place_goes_on_where_it_stopped(torch):
    def steps(auto, start, stop):
        thresholds = []
        for i in range(start, stop):
            parameter = torch.nn.Parameter(torch.zeros(2))
            parameter.grad = torch.tensor([float((7 * i) % 11 + 1), 0.0])
            norm = auto(parameter)
            assert float(norm) == (7 * i) % 11 + 1
            thresholds.append(float(parameter.grad[0]))
        return thresholds

    whole = steps(clipping.AutoClip(40, 5), 0, 20)
    first, second = clipping.AutoClip(40, 5), clipping.AutoClip()
    begun = steps(first, 0, 9)
    second.load_state_dict(first.state_dict())
    assert begun + steps(second, 9, 20) == whole
    kept = [(7 * i) % 11 + 1 for i in range(20)]
    expected = [min(kept[i], np.percentile(kept[max(0, i - 4) : i + 1], 40)) for i in range(20)]
    assert whole == pytest.approx(expected, rel=1e-6)


def test_norms_that_are_none():
    for bad in ([None], [1.0, "a"], 3.0, [[1.0, 2.0]]):
        with pytest.raises(TypeError, match="norms must be an array or a sequence of numbers; got"):
            clipping.percentile(bad, 50)
    assert float(clipping.percentile((n for n in (1.0, 2.0)), 50)) == 1.5
    with pytest.raises(TypeError, match="norm must be a number; got True"):
        clipping.AutoClip().update(True)
    with pytest.raises(ValueError, match=r"norm must be 0 or more; got -1\.0"):
        clipping.AutoClip().update(-1.0)


def test_autoclip_keeps_no_graph_and_no_step_without_gradients(torch):
    auto = clipping.AutoClip(50, history=3)
    assert float(auto.clip_(torch.nn.Linear(2, 2))) == 0
    assert auto.norms is None
    limit = auto.update(torch.ones(3, requires_grad=True).norm())
    assert not auto.norms.requires_grad
    assert not limit.requires_grad


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_autoclip_of_many_norms_in_half_precision(torch, half):
    """A count beyond 256 is no bfloat16, nor is a place between two norms."""
    auto, norms = clipping.AutoClip(90, history=999), torch.arange(999.0).to(getattr(torch, half))
    for norm in norms:
        limit = auto.update(norm)
    assert float(limit) == pytest.approx(float(np.percentile(norms.float().numpy(), 90)))


def test_autoclip_keeps_bad_steps_out_of_its_memory(torch):
    auto, parameter = clipping.AutoClip(50, 10), torch.nn.Parameter(torch.zeros(2))
    for g in ([3.0, 4.0], [math.inf, 1.0], [math.nan, 1.0], [6.0, 8.0]):
        parameter.grad = torch.tensor(g)
        auto.clip_(parameter)
    kept = auto.norms[torch.isfinite(auto.norms)]
    torch.testing.assert_close(kept, torch.tensor([5.0, 10.0]))
    torch.testing.assert_close(parameter.grad, torch.tensor([4.5, 6.0]))


def test_autoclip_in_a_training_that_was_interrupted(torch, tmp_path):
    from vglib.base.training import fit

    def train(steps, name):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = torch.nn.Linear(3, 1)
        history = fit(
            model,
            lambda i: (
                (50 if i % 7 == 3 else 1) * torch.randn(8, 3, generator=torch.Generator().manual_seed(i))
            ),
            lambda model, batch: (model(batch) ** 2).mean(),
            steps=steps,
            optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.01),
            clip=clipping.AutoClip(history=5),
            device="cpu",
            checkpoint=tmp_path / name,
            progress=False,
        )
        return model, history

    whole, expected = train(40, "whole")
    train(25, "parts")
    again, history = train(40, "parts")
    assert torch.equal(whole.weight, again.weight)
    np.testing.assert_array_equal(history.grad_norm, expected.grad_norm)
    assert 0 < expected.clipped.mean() < 1


# -- PyTorch, in place ----------------------------------------------------------------


@pytest.fixture
def model(torch):
    """Return a function that makes a small model with gradients."""

    def make(scale=1.0, dtype=None):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            net = torch.nn.ModuleDict({"body": torch.nn.GRU(3, 4), "head": torch.nn.Linear(4, 2)}).to(dtype)
            for parameter in net.parameters():
                parameter.grad = scale * torch.randn_like(parameter)
        return net

    return make


def gradients_of(net):
    return [parameter.grad.clone() for parameter in net.parameters()]


@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize("limit", [0.5, 1e4])
@pytest.mark.parametrize("name", ["float32", "float64"])
def test_in_place_equals_torch(torch, model, p, limit, name):
    ours, theirs = (model(2.0, getattr(torch, name)) for _ in range(2))
    norm = clipping.by_norm_(ours.parameters(), limit, p)
    torch.testing.assert_close(norm, torch.nn.utils.clip_grad_norm_(theirs.parameters(), limit, p))
    for a, b in zip(gradients_of(ours), gradients_of(theirs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=0)


def test_by_value_in_place_equals_torch(torch, model):
    ours, theirs = model(), model()
    norm = clipping.by_value_(ours, 0.3)
    torch.testing.assert_close(norm, torch.nn.utils.get_total_norm(gradients_of(theirs)))
    torch.nn.utils.clip_grad_value_(theirs.parameters(), 0.3)
    for a, b in zip(gradients_of(ours), gradients_of(theirs), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_adaptive_in_place_equals_the_explicit_one(torch, model):
    net = model(5.0, torch.float64)
    weights = {name: p.detach() for name, p in net.named_parameters()}
    gradients = {name: p.grad.clone() for name, p in net.named_parameters()}
    expected, norm = clipping.adaptive(weights, gradients, 0.03, exclude=("head",))
    torch.testing.assert_close(clipping.adaptive_(net, 0.03, exclude=("head",)), norm)
    for name, p in net.named_parameters():
        torch.testing.assert_close(p.grad, expected[name])
        assert torch.equal(p.grad, gradients[name]) == name.startswith("head")
    with pytest.raises(ValueError, match="exclude: 'haed' fits none of the names body"):
        clipping.adaptive_(net, exclude=("haed",))
    with pytest.raises(ValueError, match="exclude: 'head' fits none"):
        clipping.adaptive_(net.parameters(), exclude=("head",))


CALLS = {
    "by_norm_": lambda net, **o: clipping.by_norm_(net, 1.0, **o),
    "by_value_": lambda net, **o: clipping.by_value_(net, 1.0, **o),
    "adaptive_": lambda net, **o: clipping.adaptive_(net, **o),
    "AutoClip": lambda net, **o: clipping.AutoClip().clip_(net, **o),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_one_bad_entry(torch, model, call, value):
    def spoilt():
        net = model()
        net["head"].weight.grad[1, 2] = value
        return net

    net = spoilt()
    norm = call(net)
    assert not math.isfinite(norm)
    assert all(torch.equal(g, torch.zeros_like(g)) for g in gradients_of(net))
    with pytest.raises(NonFiniteError, match=r"the gradient of head\.weight is not finite"):
        call(spoilt(), nonfinite="raise")
    with pytest.raises(NonFiniteError, match=r"the gradient of parameters\[4\] is not finite"):
        call(spoilt().parameters(), nonfinite="raise")
    net = spoilt()
    assert not math.isfinite(call(net, nonfinite="skip"))
    assert all(p.grad is None for p in net.parameters())
    for policy in ("raise", "skip"):
        good, same = model(), model()
        call(good, nonfinite=policy)
        call(same)
        assert all(torch.equal(a, b) for a, b in zip(gradients_of(good), gradients_of(same), strict=True))


def test_the_trap_of_one_infinity(torch):
    theirs, ours = (torch.nn.Parameter(torch.zeros(3)) for _ in range(2))
    for parameter in (theirs, ours):
        parameter.grad = torch.tensor([1.0, math.inf, 2.0])
    torch.nn.utils.clip_grad_norm_([theirs], 1.0)
    assert torch.isnan(theirs.grad).tolist() == [False, True, False]
    clipping.by_norm_([ours], 1.0)
    assert ours.grad.tolist() == [0.0, 0.0, 0.0]


def test_zero_gradients_still_move_adam_and_skipping_does_not(torch):
    moved = {}
    for policy in ("zero", "skip"):
        parameter = torch.nn.Parameter(torch.zeros(1))
        adam = torch.optim.Adam([parameter], lr=0.1)
        for g in (1.0, math.inf):
            before = float(parameter.detach())
            parameter.grad = torch.tensor([g])
            clipping.by_norm_(parameter, 1.0, nonfinite=policy)
            adam.step()
        moved[policy] = float(parameter.detach()) - before
    assert moved["zero"] < -0.01
    assert moved["skip"] == 0


def test_nothing_is_read_back(torch, model):
    # Tensors without data: whoever reads one is told off. What happens on a GPU happens here.
    net = model().to("meta")
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter, device="meta")
    auto = clipping.AutoClip(history=7)
    for call in (*CALLS.values(), auto.clip_, auto.clip_):
        assert call(net).device.type == "meta"
    assert auto.norms.shape == (7,)


def test_no_operation_reads_a_number(torch, model):
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watch(TorchDispatchMode):
        reads = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.reads += "_local_scalar_dense" in str(function) or ".item" in str(function)
            return function(*args, **(kwargs or {}))

    nets = [model(), model(1e30)]
    nets[0]["head"].bias.grad[0] = math.nan
    with Watch() as watch:
        for call in CALLS.values():
            for net in nets:
                call(net)
    assert watch.reads == 0


@pytest.mark.parametrize("case", ["long", "short", "huge", "tiny", "zero", "inf", "nan"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_the_way_of_the_gpu_gives_the_same(torch, model, monkeypatch, case, call, name):
    from vglib.base import clip_torch, torch_gradients

    def made():
        scale = {"long": 9.0, "huge": 3e4 if name == "float16" else 1e30, "tiny": 1e-6, "zero": 0.0}.get(
            case, 0.01
        )
        net = model(scale, getattr(torch, name))
        if case in ("inf", "nan"):
            net["body"].bias_hh_l0.grad[3] = float(case)
        return net

    here, there = made(), made()
    expected = call(here)
    for module in (clip_torch, torch_gradients):
        monkeypatch.setattr(module, "on_host", lambda tensor: False)
    monkeypatch.setattr(torch_gradients, "quick_norms", torch_gradients.safe_norms)
    torch.testing.assert_close(call(there), expected, equal_nan=True)
    for a, b in zip(gradients_of(there), gradients_of(here), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("size", [1e-30, 1e-20, 1e19, 1e30, 3e37])
@pytest.mark.parametrize("p", [1, 2, 3, 5, math.inf])
def test_sizes_whose_powers_leave_the_range(torch, size, p):
    shape = torch.tensor([1.0, -0.5, 0.0, 0.25])
    parameter = torch.nn.Parameter(torch.zeros(4))
    parameter.grad = size * shape
    length = float(torch.linalg.vector_norm(shape.double(), p))
    norm = clipping.by_norm_(parameter, size / 2, p)
    torch.testing.assert_close(norm, torch.tensor(size * length), rtol=1e-6, atol=0)
    torch.testing.assert_close(parameter.grad, size * shape / (2 * length), rtol=1e-6, atol=0)


@pytest.mark.parametrize("size", [3e19, 1e25, 1e38])
def test_huge_gradients_are_shortened_not_deleted(torch, size):
    parameter = torch.nn.Parameter(torch.zeros(3))
    parameter.grad = size * torch.tensor([3.0, 0.0, -1.0])
    theirs = parameter.grad.clone()
    clipping.by_norm_(parameter, 1.0)
    torch.testing.assert_close(
        parameter.grad, torch.tensor([3.0, 0.0, -1.0]) / math.sqrt(10), rtol=1e-5, atol=0
    )
    other = torch.nn.Parameter(torch.zeros(3))
    other.grad = theirs
    torch.nn.utils.clip_grad_norm_(other, 1.0)
    assert float(other.grad.norm()) == 0  # what theirs makes of it


@pytest.mark.parametrize("size", [1e200, 1e300])
def test_huge_rows_and_messages_are_shortened_not_deleted(torch, size):
    """Squares of float64 leave the range at 1e154, and there is no wider dtype to add them up in."""
    p = torch.nn.Parameter(torch.ones(2, 4, dtype=torch.float64))
    p.grad = torch.full_like(p, size)
    clipping.adaptive_(p, 0.01)
    torch.testing.assert_close(p.grad, torch.full_like(p.grad, 0.01))
    h = torch.ones(2, 4, dtype=torch.float64, requires_grad=True)
    (message,) = torch.autograd.grad(clipping.clip_message(h, 1.0), h, torch.full_like(h, size))
    torch.testing.assert_close(message, torch.full((2, 4), 0.5, dtype=torch.float64))


@pytest.mark.parametrize("own_bias", [True, False])
def test_an_excluded_layer_may_share_its_weight(torch, own_bias):
    net = torch.nn.ModuleDict(
        {
            "embed": torch.nn.Embedding(7, 5),
            "body": torch.nn.Linear(5, 5),
            "head": torch.nn.Linear(5, 7, bias=own_bias),
        }
    )
    net["head"].weight = net["embed"].weight
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 100.0)
    clipping.adaptive_(net, exclude=("head",))
    for name, parameter in net.named_parameters():
        assert bool((parameter.grad == 100).all()) == (not name.startswith("body")), name


def test_weights_that_are_not_finite(torch):
    bad, g = np.array([[np.nan, 1.0], [1.0, 1.0]]), np.ones((2, 2))
    with pytest.raises(NonFiniteError, match=r"weights\['w'\] is not finite"):
        clipping.adaptive({"w": bad}, {"w": g})
    expected, _ = clipping.adaptive({"w": bad}, {"w": g}, nonfinite="zero")
    p = torch.nn.Parameter(torch.tensor(bad))
    p.grad = torch.tensor(g)
    clipping.adaptive_(p)
    np.testing.assert_allclose(p.grad.numpy(), expected["w"])
    assert np.abs(expected["w"]).max() < 0.011


def test_several_dtypes_are_one_vector(torch):
    parts = [
        torch.nn.Parameter(torch.zeros(2, dtype=getattr(torch, n)))
        for n in ("float32", "float64", "bfloat16")
    ]
    for part, g in zip(parts, ([3.0, 0.0], [0.0, 4.0], [12.0, 0.0]), strict=True):
        part.grad = torch.tensor(g, dtype=part.dtype)
    norm = clipping.by_norm_(parts, 1.0)
    assert norm.dtype == torch.float64
    assert float(norm) == pytest.approx(13.0)
    assert [float(part.grad.double().abs().max()) for part in parts] == pytest.approx(
        [3 / 13, 4 / 13, 12 / 13], rel=1e-2
    )


def test_what_parameters_may_be(torch, model):
    expected = model()
    norm = torch.nn.utils.clip_grad_norm_(expected.parameters(), 0.5)
    forms = [
        lambda net: net,
        lambda net: net.parameters(),
        lambda net: net.named_parameters(),
        lambda net: list(net.parameters()),
        lambda net: (p for p in net.parameters()),
        lambda net: [*net.parameters(), *net["head"].parameters()],  # twice, counted once
        lambda net: [
            *net.parameters(),
            torch.zeros(2),
            torch.nn.Parameter(torch.zeros(2)),
        ],  # without gradients
    ]
    for form in forms:
        net = model()
        torch.testing.assert_close(clipping.by_norm_(form(net), 0.5), norm)
        for a, b in zip(gradients_of(net), gradients_of(expected), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=0)
    lonely = torch.nn.Parameter(torch.zeros(2))
    assert float(clipping.by_norm_(lonely, 1.0)) == 0
    lonely.grad = torch.tensor([3.0, 4.0]).expand(1, 2)[0]
    clipping.by_norm_(lonely, 1.0)
    torch.testing.assert_close(lonely.grad, torch.tensor([0.6, 0.8]))
    transposed = torch.nn.Parameter(torch.zeros(3, 2).T)
    transposed.grad = torch.ones(3, 2).T
    clipping.by_norm_(transposed, 1.0)
    torch.testing.assert_close(transposed.grad, torch.full((2, 3), 6**-0.5))


def test_what_parameters_may_not_be(torch):
    used = iter([torch.zeros(1)])
    next(used)
    with pytest.raises(ValueError, match="parameters is empty; an iterator can be read only once"):
        clipping.by_norm_(used, 1.0)
    with pytest.raises(
        TypeError, match="parameters must be a module, a tensor, or an iterable of them; got int"
    ):
        clipping.by_norm_(3, 1.0)
    with pytest.raises(TypeError, match=r"parameters\[1\] must be a tensor; got str"):
        clipping.by_norm_([torch.zeros(1), "w"], 1.0)
    table = torch.nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(
        TypeError, match=r"the gradient of weight must be dense and of real floats; got torch.sparse"
    ):
        clipping.by_norm_(table, 1.0)
    z = torch.nn.Parameter(torch.zeros(2, dtype=torch.complex64))
    z.grad = torch.ones_like(z)
    with pytest.raises(
        TypeError, match=r"parameters\[0\] must be dense and of real floats; got torch.complex64"
    ):
        clipping.by_value_(z, 1.0)


def test_messages_are_clipped_for_each_example(torch):
    h = torch.randn(
        3, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True
    )
    out = clipping.clip_message(h, 0.5)
    assert torch.equal(out, h)
    message = torch.randn(3, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    message[0, 0] *= 1e-3
    message[1, 1, 2] = math.inf
    (got,) = torch.autograd.grad(out, h, message)
    expected = message.numpy().copy()
    expected[1, 1] = 0
    expected *= np.minimum(1, 0.5 / np.maximum(np.linalg.norm(expected, axis=-1, keepdims=True), 1e-9))
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12)
    direct = clipping.clip_message(h, 0.5, dim=(1, 2))
    (whole,) = torch.autograd.grad((direct * 9).sum() + h.sum(), h)
    np.testing.assert_allclose(np.linalg.norm(whole.numpy() - 1, axis=(1, 2)), 0.5)
    assert not clipping.clip_message(h.detach(), 0.5).requires_grad


# -- bad input ----------------------------------------------------------------

G = np.ones(3)
TRACE = bptt.unroll(RNN.init(2, 3), np.ones((4, 1, 2)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: clipping.by_norm({}, 1.0), ValueError, "gradients must hold at least one array; got none"),
        (lambda: clipping.by_norm([], 1.0), ValueError, "gradients must hold at least one"),
        (lambda: clipping.by_norm(3.0, 1.0), TypeError, "gradients must be an array .*; got float"),
        (
            lambda: clipping.by_norm([G, None], 1.0),
            TypeError,
            r"gradients\[1\] must be an array .*; got NoneType",
        ),
        (
            lambda: clipping.by_norm([G, G.astype("float32")], 1.0),
            TypeError,
            r"gradients\[1\] is float32 but gradients\[0\]",
        ),
        (
            lambda: clipping.by_norm({"w": G.astype(int)}, 1.0),
            TypeError,
            r"gradients\['w'\]'s dtype must be one of",
        ),
        (lambda: clipping.by_norm({"w": G[:0]}, 1.0), ValueError, r"gradients\['w'\] must have shape"),
        (lambda: clipping.by_norm(G, 0), ValueError, "max_norm must be positive; got 0"),
        (lambda: clipping.by_norm(G, -1.0), ValueError, "max_norm must be positive; got -1.0"),
        (lambda: clipping.by_norm(G, math.nan), ValueError, "max_norm must be positive; got nan"),
        (lambda: clipping.by_norm(G, "1"), TypeError, "max_norm must be a number.*; got '1'"),
        (lambda: clipping.by_norm(G, True), TypeError, "max_norm must be a number.*; got True"),
        (lambda: clipping.by_norm(G, G), TypeError, "max_norm must be a number"),
        (lambda: clipping.by_norm(G, 1.0, 0), ValueError, "norm_type must be positive; got 0"),
        (lambda: clipping.by_norm(G, 1.0, "fro"), TypeError, "norm_type must be a number .*; got 'fro'"),
        (
            lambda: clipping.by_norm(G, 1.0, nonfinite="skip"),
            ValueError,
            "nonfinite must be one of 'raise', 'zero', 'return'",
        ),
        (lambda: clipping.by_value(G, 0.0), ValueError, "max_value must be positive; got 0.0"),
        (lambda: clipping.by_value(None, 1.0), TypeError, "gradients must be an array"),
        (
            lambda: clipping.by_step(G, G, 1.0),
            TypeError,
            "trace must be what bptt.unroll returns; got ndarray",
        ),
        (lambda: clipping.by_step(TRACE, G, 1.0), ValueError, r"d_outputs must have shape \(T=4, B=1, H=3\)"),
        (lambda: clipping.by_step(TRACE, np.ones((4, 1, 3)), 0.0), ValueError, "max_norm must be positive"),
        (
            lambda: clipping.adaptive({"w": G}, {"v": G}),
            ValueError,
            "weights and gradients must have the same names",
        ),
        (
            lambda: clipping.adaptive({"w": G}, {"w": np.ones(4)}),
            ValueError,
            r"weights\['w'\] must have shape \(n=4\)",
        ),
        (lambda: clipping.adaptive([G], {"w": G}), TypeError, "weights must map names to arrays; got list"),
        (lambda: clipping.adaptive({"w": G}, {"w": G}, 0.0), ValueError, "clipping must be positive"),
        (lambda: clipping.adaptive({"w": G}, {"w": G}, eps=0.0), ValueError, "eps must be positive"),
        (
            lambda: clipping.adaptive({"w": G}, {"w": G}, exclude="w"),
            TypeError,
            r"exclude must be a sequence of names, such as \('head',\); got 'w'",
        ),
        (
            lambda: clipping.adaptive({"w": G}, {"w": G}, exclude=["v"]),
            ValueError,
            "exclude: 'v' fits none of the names w",
        ),
        (
            lambda: clipping.adaptive({"w": G}, {"w": G * np.inf}),
            NonFiniteError,
            r"gradients\['w'\] is not finite",
        ),
        (lambda: clipping.percentile([], 10), ValueError, "norms must have shape"),
        (
            lambda: clipping.percentile([1.0, math.nan], 10),
            NonFiniteError,
            "norms is not finite.* first at step 1",
        ),
        (lambda: clipping.percentile([math.inf], 10, "ignore"), ValueError, "none of the 1 is"),
        (lambda: clipping.percentile([1.0], 101), ValueError, "q must lie between 0 and 100; got 101"),
        (lambda: clipping.percentile([1.0], "10"), TypeError, "q must be a number from 0 to 100; got '10'"),
        (
            lambda: clipping.percentile([1.0], 10, "zero"),
            ValueError,
            "nonfinite must be one of 'raise', 'ignore'",
        ),
        (
            lambda: clipping.AutoClip(percentile=-1),
            ValueError,
            "percentile must lie between 0 and 100; got -1",
        ),
        (lambda: clipping.AutoClip(history=0), ValueError, "history must be at least 1; got 0"),
        (lambda: clipping.AutoClip(history=1.5), TypeError, "history must be an integer; got 1.5"),
        (lambda: clipping.AutoClip().update(G), ValueError, "norm must have shape"),
        (lambda: clipping.AutoClip().update("1"), TypeError, "norm must be an array"),
        (
            lambda: clipping.AutoClip().load_state_dict({}),
            ValueError,
            "state must hold percentile, history, norms",
        ),
        (
            lambda: clipping.AutoClip().load_state_dict({"percentile": 1, "history": 2, "norms": G}),
            ValueError,
            r"norms must have shape \(history=2\)",
        ),
        (lambda: clipping.no_such_thing, AttributeError, "has no attribute 'no_such_thing'"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_bad_input_in_place(torch):
    p = torch.nn.Parameter(torch.zeros(2))
    p.grad = torch.ones(2)
    for call, name in (
        (lambda v: clipping.by_norm_(p, v), "max_norm"),
        (lambda v: clipping.by_value_(p, v), "max_value"),
        (lambda v: clipping.adaptive_(p, v), "clipping"),
        (lambda v: clipping.adaptive_(p, eps=v), "eps"),
        (lambda v: clipping.clip_message(p, v), "max_norm"),
    ):
        with pytest.raises(ValueError, match=f"{name} must be positive; got -1"):
            call(-1)
        with pytest.raises(TypeError, match=f"{name} must be a number.*; got None"):
            call(None)
    for call in CALLS.values():
        with pytest.raises(
            ValueError, match="nonfinite must be one of 'zero', 'raise', 'skip'; got 'return'"
        ):
            call(p, nonfinite="return")
    with pytest.raises(ValueError, match="norm_type must be positive; got 0"):
        clipping.by_norm_(p, 1.0, 0)
    with pytest.raises(TypeError, match=r"h must be a tensor of floats; got torch\.int64"):
        clipping.clip_message(torch.ones(2, dtype=torch.int64), 1.0)
    with pytest.raises(TypeError, match="h must be a tensor of floats; got list"):
        clipping.clip_message([1.0], 1.0)


def test_nothing_for_what_is_excluded(torch):
    with pytest.raises(TypeError, match=r"exclude must be a sequence of names.*; got None"):
        clipping.adaptive_(torch.nn.Linear(2, 2), exclude=None)


def test_bad_tuples_of_parameters(torch):
    p = torch.nn.Parameter(torch.zeros(2))
    for bad, kinds in (((p, p), "Parameter, Parameter"), (("w", p, p), "str, Parameter, Parameter")):
        with pytest.raises(TypeError, match=rf"parameters\[0\] must be .*got a tuple \({kinds}\)"):
            clipping.by_norm_([bad], 1.0)


@pytest.mark.parametrize("bad", [-1.0, math.nan])
def test_an_array_for_a_threshold_that_is_none(torch, backend, dtype, bad):
    g = backend.array([3.0, 4.0], dtype)
    p = torch.nn.Parameter(torch.zeros(2))
    p.grad = torch.ones(2)
    with pytest.raises(ValueError, match=f"max_value must be positive; got {bad}"):
        clipping.by_value(g, backend.array(bad, dtype))
    for call, long in ((clipping.by_norm, g), (clipping.by_norm_, p)):
        with pytest.raises(ValueError, match=f"max_norm must be positive; got {bad}"):
            call(long, backend.array(bad, dtype))
        with pytest.raises(TypeError, match="max_norm must hold a real number; got bool"):
            call(long, np.array(True))
        with pytest.raises(TypeError, match="max_norm must hold a real number; got complex64"):
            call(long, torch.tensor(1j))
    assert torch.equal(p.grad, torch.ones(2))
    backend.check(clipping.by_norm(g, torch.nn.Parameter(torch.ones(())))[0], [0.6, 0.8], dtype)
    with pytest.raises(TypeError, match=r"gradients must be dense; got torch\.sparse_coo"):
        clipping.by_norm(torch.ones(2, 2).to_sparse(), 1.0)


def test_messages_along_axes_that_are_none(torch):
    h = torch.ones(2, 3, requires_grad=True)
    for dim in (2, -3, (), (0, 2)):
        with pytest.raises(ValueError, match="dim must be"):
            clipping.clip_message(h, 1.0, dim)
    with pytest.raises(TypeError, match="dim must be an integer; got 'a'"):
        clipping.clip_message(h, 1.0, "a")


def test_a_threshold_may_be_an_array(backend, dtype):
    g = backend.array([3.0, 4.0], dtype)
    clipped, _ = clipping.by_norm(g, clipping.AutoClip().update(backend.array(2.5, dtype)))
    backend.check(clipped, [1.5, 2.0], dtype)
    assert autoclip.AutoClip is clipping.AutoClip
    assert repr(clipping.AutoClip(5, 20)) == "AutoClip(percentile=5, history=20)"
    assert set(clipping.__all__) <= set(dir(clipping))
