"""Starting weights and the mean field against torch.nn.init, mpmath, autograd and closed forms."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vglib import NonFiniteError, initialization
from vglib.base.gaussian import moments, overlap
from vglib.base.mean_field import LARGEST

MP = {
    "tanh": (mpmath.tanh, lambda a: mpmath.sech(a) ** 2),
    "sigmoid": (lambda a: 1 / (1 + mpmath.exp(-a)), lambda a: 1 / (4 * mpmath.cosh(a / 2) ** 2)),
    "relu": (lambda a: max(a, 0), lambda a: int(a > 0)),
    "linear": (lambda a: a, lambda a: 1),
}
CORNERS = [0.0, *(10.0**e for e in range(-3, 1)), 3.0, 6.0, 12.0]


def average(f):
    """E f(z) by mpmath, in pieces so that a step at 0 is seen."""
    corners = sorted({*CORNERS, *(-c for c in CORNERS)})
    return float(mpmath.quad(lambda z: f(z) * mpmath.npdf(z), corners))


def average_of_two(f, c):
    """E f(u₁, u₂) of standard Gaussians with correlation c, by a plain sum over a square."""
    z = np.arange(-9, 9, 0.03)
    w = 0.03 * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return w @ f(z[:, None], c * z[:, None] + math.sqrt(1 - c**2) * z) @ w


# -- Glorot and He ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(30, 50), (8, 4, 5), (6, 4, 3, 2), (2, 3, 2, 2, 2)])
def test_fans_are_those_of_torch(torch, shape):
    expected = torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))
    assert initialization.fans(shape) == expected


def test_fan_out_counts_one_gate():
    assert initialization.fans((4 * 64, 10), gates=4) == (10, 64)
    assert initialization.fans([3 * 7, 7], gates=3) == (7, 7)


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
@pytest.mark.parametrize("shape", [(300, 200), (40, 10, 5, 5)])
def test_variances_are_those_of_torch(torch, distribution, shape):
    generator = torch.Generator().manual_seed(0)
    kaiming = getattr(torch.nn.init, f"kaiming_{distribution}_")
    xavier = getattr(torch.nn.init, f"xavier_{distribution}_")
    pairs = [
        (initialization.he(shape, distribution=distribution), kaiming, {"nonlinearity": "relu"}),
        (initialization.he(shape, "linear", distribution=distribution), kaiming, {"nonlinearity": "linear"}),
        (
            initialization.he(shape, fan="out", distribution=distribution),
            kaiming,
            {"mode": "fan_out", "nonlinearity": "relu"},
        ),
        (initialization.glorot(shape, distribution=distribution), xavier, {}),
        (initialization.glorot(shape, gain=1.7, distribution=distribution), xavier, {"gain": 1.7}),
    ]
    for ours, theirs, options in pairs:
        other = theirs(torch.empty(shape, dtype=torch.float64), generator=generator, **options).numpy()
        assert ours.shape == shape
        assert abs(ours.mean()) < 5 * ours.std() / math.sqrt(ours.size)
        # A sample variance of n numbers is within 1 % here: n = 10,000 and more, four standard deviations.
        assert ours.var() == pytest.approx(other.var(), rel=8 * math.sqrt(2 / ours.size))
        if distribution == "uniform":
            assert np.abs(ours).max() == pytest.approx(np.abs(other).max(), rel=1e-3)
        else:
            assert 0.98 < np.mean(np.abs(ours) < 1.96 * ours.std()) / 0.95 < 1.02


def test_gates_change_glorot_and_not_he():
    stacked = initialization.glorot((4 * 200, 100), gates=4)
    assert stacked.std() == pytest.approx(math.sqrt(2 / 300), rel=0.01)
    assert initialization.glorot((800, 100)).std() == pytest.approx(math.sqrt(2 / 900), rel=0.01)
    assert initialization.he((800, 100), fan="out", gates=4).std() == pytest.approx(0.1, rel=0.01)
    assert initialization.he((800, 100), gates=4).std() == pytest.approx(math.sqrt(0.02), rel=0.01)


def test_the_same_numbers_in_every_library(backend, dtype):
    kept = {"xp": backend.xp, "device": backend.device, "dtype": dtype}
    for draw in (initialization.glorot, initialization.he):
        backend.check(draw((4, 3), seed=5, **kept), draw((4, 3), seed=5), dtype)
        assert np.any(draw((4, 3), seed=5) != draw((4, 3), seed=6))
    weights, biases = initialization.draw_layers([3, 4, 2], 1.5, 0.1, seed=5, **kept)
    expected = initialization.draw_layers([3, 4, 2], 1.5, 0.1, seed=5)
    for ours, plain in zip([*weights, *biases], [*expected[0], *expected[1]], strict=True):
        backend.check(ours, plain, dtype)


def test_no_global_state_is_touched(torch):
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    plain = np.random.get_state()[1].copy()  # noqa: NPY002
    initialization.initialize_(torch.nn.Linear(3, 4).double())
    torch.manual_seed(3)
    initialization.he((3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], plain)  # noqa: NPY002


@pytest.mark.parametrize("name", list(MP))
def test_gains(name):
    value, slope = MP[name]
    assert initialization.gain(name, "signal") == pytest.approx(
        average(lambda z: value(z) ** 2) ** -0.5, rel=1e-9
    )
    gradient = average(lambda z: slope(z) ** 2) ** -0.5
    assert initialization.gain(name, "gradient") == pytest.approx(gradient, rel=1e-9)
    both = initialization.gain(name)
    if name == "sigmoid":
        assert both == pytest.approx(10.149, abs=1e-3)
    else:
        assert both == pytest.approx({"tanh": 1, "relu": math.sqrt(2), "linear": 1}[name], rel=1e-12)


def test_gains_beside_those_of_torch(torch):
    for name in ("relu", "linear"):
        assert initialization.gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    assert torch.nn.init.calculate_gain("tanh") == pytest.approx(5 / 3)
    # Which is on the exploding side.
    assert initialization.mean_field("tanh", (5 / 3) ** 2).phase == "chaotic"


# -- a PyTorch model --------------------------------------------------------------------------------------


@pytest.fixture
def model(torch):
    nn = torch.nn
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.ModuleDict(
            {
                "conv": nn.Conv2d(8, 64, 3, groups=2),
                "norm": nn.BatchNorm2d(64),
                "embedding": nn.Embedding(5, 6),
                "lstm": nn.LSTM(80, 60, num_layers=2, bidirectional=True),
                "gru": nn.GRUCell(80, 90),
                "rnn": nn.RNN(80, 90),
                "up": nn.ConvTranspose1d(3, 4, 2),
                "body": nn.Sequential(nn.Linear(200, 100), nn.LayerNorm(100), nn.Linear(100, 50)),
            }
        )


def test_a_model_is_set_and_the_result_says_how(model, torch):
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    started = initialization.initialize_(model, "glorot", seed=1)
    after = dict(model.named_parameters())
    assert set(started.set) | set(started.left) == set(after)
    assert not set(started.set) & set(started.left)
    assert set(started.left) == {
        *(f"{layer}.{kind}" for layer in ("norm", "up", "body.1") for kind in ("weight", "bias")),
        "embedding.weight",
    }
    for name in started.left:
        assert torch.equal(after[name], before[name])
    for name, std in started.set.items():
        assert float(after[name].detach().std(unbiased=False)) == pytest.approx(std, rel=0.05, abs=0), name
        assert (std == 0) == ("bias" in name)
    expected = {
        "conv.weight": (4 * 9, 32 * 9),  # groups: 4 of 8 inputs, 32 of 64 outputs
        "lstm.weight_ih_l0": (80, 60),
        "lstm.weight_ih_l1_reverse": (120, 60),
        "lstm.weight_hh_l1": (60, 60),
        "gru.weight_ih": (80, 90),
        "rnn.weight_hh_l0": (90, 90),
        "body.2.weight": (100, 50),
    }
    for name, both in expected.items():
        assert started.set[name] == pytest.approx(math.sqrt(2 / sum(both)), rel=1e-12), name


def test_he_takes_the_gain_of_what_follows(model):
    started = initialization.initialize_(model, "he", "relu")
    assert started.set["body.0.weight"] == pytest.approx(math.sqrt(2 / 200))
    assert started.set["rnn.weight_hh_l0"] == pytest.approx(math.sqrt(1 / 90))  # its own tanh
    assert started.set["lstm.weight_hh_l0"] == pytest.approx(math.sqrt(1 / 60))
    assert initialization.initialize_(model, "he", "tanh").set["body.0.weight"] == pytest.approx(200**-0.5)


def test_a_weight_depends_on_seed_name_and_shape_alone(torch):
    nn = torch.nn
    one = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    two = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 9), nn.Linear(9, 9)).double()
    for net in (one, two):
        initialization.initialize_(net, seed=4)
    assert torch.allclose(one[0].weight, two[0].weight.float(), atol=3)  # other precision, other numbers
    again = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 9), nn.Linear(9, 9))
    initialization.initialize_(again, seed=4)
    assert torch.equal(one[0].weight, again[0].weight)
    assert not torch.equal(again[1].weight[:, :3], again[2].weight[:, :3])
    initialization.initialize_(again, seed=5)
    assert not torch.equal(one[0].weight, again[0].weight)
    half = nn.Linear(3, 4).to(torch.bfloat16)
    initialization.initialize_(nn.Sequential(half), seed=4)
    assert torch.equal(half.weight, one[0].weight.to(torch.bfloat16))
    assert one[0].weight.requires_grad


def test_tied_skipped_projected_and_parametrized_weights(torch):
    nn = torch.nn
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    tied[1].weight = tied[0].weight
    head = tied[2].weight.detach().clone()
    started = initialization.initialize_(tied, skip=("2",))
    assert set(started.set) == {"0.weight", "0.bias", "1.bias"}
    assert started.left == ("2.weight", "2.bias")
    assert torch.equal(tied[2].weight, head)

    projected = nn.LSTM(50, 40, proj_size=20)
    started = initialization.initialize_(projected, "glorot")
    assert started.set["weight_hr_l0"] == pytest.approx(math.sqrt(2 / 60))
    assert started.set["weight_hh_l0"] == pytest.approx(math.sqrt(2 / 60))

    orthogonal = nn.utils.parametrizations.orthogonal(nn.Linear(4, 4))
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
    weights = [layer.weight.detach().clone() for layer in (orthogonal, normed)]
    started = initialization.initialize_(nn.Sequential(orthogonal, normed))
    assert set(started.set) == {"0.bias", "1.bias"}
    for layer, weight in zip((orthogonal, normed), weights, strict=True):
        assert torch.equal(layer.weight, weight)


@pytest.mark.parametrize("skip", ["embed", "head"])
def test_what_is_skipped_stays_under_all_its_names(torch, skip):
    nn = torch.nn

    def make():
        net = nn.ModuleDict({"embed": nn.Embedding(7, 5), "body": nn.Linear(5, 5), "head": nn.Linear(5, 7)})
        net["head"].weight = net["embed"].weight
        return net

    net = make()
    before = net["embed"].weight.detach().clone()
    started = initialization.initialize_(net, skip=(skip,))
    assert torch.equal(net["head"].weight, before)
    assert "embed.weight" in started.left
    assert set(started.set) == {"body.weight", "body.bias"} | ({"head.bias"} if skip == "embed" else set())
    assert "head.weight" in initialization.initialize_(make()).set

    twice = nn.Sequential(*[nn.Linear(3, 3)] * 2)
    assert initialization.initialize_(twice, skip=("1",)).set == {}


def test_bad_models(torch):
    with pytest.raises(ValueError, match=r"0\.weight is on device meta, without numbers"):
        initialization.initialize_(torch.nn.Sequential(torch.nn.Linear(2, 2, device="meta")))
    nn = torch.nn
    net = nn.Sequential(nn.Linear(2, 3), nn.LazyLinear(2))
    untouched = net[0].weight.detach().clone()
    with pytest.raises(ValueError, match=r"1\.weight has no size yet"):
        initialization.initialize_(net)
    assert torch.equal(net[0].weight, untouched)
    with pytest.raises(TypeError, match=r"module must be a torch\.nn\.Module; got list"):
        initialization.initialize_([net])
    with pytest.raises(
        ValueError, match=r"skip must hold names of modules, such as \['0', '1'\]; got 'head'"
    ):
        initialization.initialize_(net, skip=("head",))
    with pytest.raises(TypeError, match="skip must be several names"):
        initialization.initialize_(net, skip="head")
    with pytest.raises(TypeError, match=r"skip must be several names.*got None"):
        initialization.initialize_(net, skip=None)
    for options, message in [
        ({"scheme": "xavier"}, "scheme must be one of 'he', 'glorot'; got 'xavier'"),
        ({"activation": "gelu"}, "activation must be one of .*; got 'gelu'"),
        ({"distribution": "cauchy"}, "distribution must be one of .*; got 'cauchy'"),
        ({"seed": -1}, "seed must be at least 0; got -1"),
    ]:
        with pytest.raises(ValueError, match=message):
            initialization.initialize_(net, **options)


# -- the mean field ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(MP))
@pytest.mark.parametrize("q", [1e-6, 0.3, 2.0, 60.0, LARGEST])
def test_averages_equal_mpmath(name, q):
    value, slope = MP[name]
    root = math.sqrt(q)
    expected = [
        average(lambda z: value(root * z) ** 2),
        average(lambda z: slope(root * z) ** 2),
        average(lambda z: value(root * z) * slope(root * z) * z / root),
    ]
    np.testing.assert_allclose(
        [float(m) for m in moments(name, np.array(q))], expected, rtol=1e-10, atol=1e-14
    )


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "linear"])
@pytest.mark.parametrize("q", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("c", [0.0, 0.3, 0.9, 0.999])
def test_overlaps_equal_a_double_sum(name, q, c):
    root = math.sqrt(q)
    phi = {"tanh": np.tanh, "sigmoid": lambda a: 1 / (1 + np.exp(-a)), "linear": lambda a: a}[name]
    expected = average_of_two(lambda a, b: phi(root * a) * phi(root * b), c)
    assert float(overlap(name, q)(np.array(c))[0]) == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize(
    ("q", "c", "off"),
    [(10.0, 0.99, 1e-10), (100.0, 0.9, 1e-11), (100.0, 0.99, 1e-5), (1e4, 0.9, 1e-11), (1e4, 0.999, 0.01)],
)
def test_overlaps_are_as_near_as_they_say(q, c, off):
    """Given what two inputs share, the rest of each is a draw of its own."""
    z = np.linspace(-9, 9, 4001)
    weights = (z[1] - z[0]) * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    shared, own = math.sqrt(q * c) * z, math.sqrt(q * (1 - c)) * z
    exact = np.array([np.tanh(s + own) @ weights for s in shared]) ** 2 @ weights
    assert float(overlap("tanh", q)(np.array(c))[0]) == pytest.approx(exact, abs=off)


@pytest.mark.parametrize("name", list(MP))
@pytest.mark.parametrize("q", [0.1, 3.0, 200.0])
def test_overlaps_at_the_ends_and_their_slope(name, q):
    value, slope = MP[name]
    evaluate = overlap(name, q)
    root = math.sqrt(q)
    ends = [average(lambda z: value(root * z)) ** 2, average(lambda z: value(root * z) ** 2)]
    np.testing.assert_allclose(evaluate(np.array([0.0, 1.0]))[0], ends, rtol=1e-9, atol=1e-12)
    # Price's theorem: the slope at 0 is q (E φ′)².
    expected = q * average(lambda z: slope(root * z)) ** 2
    assert float(evaluate(np.array(0.0))[1]) == pytest.approx(expected, rel=1e-9)
    near = np.array([0.4, 0.4 + 1e-6])
    difference = np.diff(evaluate(near)[0])[0] / 1e-6
    assert float(evaluate(near)[1][0]) == pytest.approx(difference, rel=1e-5)


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
@pytest.mark.parametrize(
    ("w", "b"), [(0.5, 0.05), (1.5, 0.0), (1.7, 0.05), (2.5, 0.05), (9.0, 0.3), (120.0, 0.0)]
)
def test_fixed_points_are_fixed_attracting_and_have_their_slopes(name, w, b):
    found = initialization.mean_field(name, w, b)
    value, slope = MP[name]
    root = math.sqrt(found.q)
    assert w * average(lambda z: value(root * z) ** 2) + b == pytest.approx(found.q, rel=1e-10)
    assert found.chi == pytest.approx(w * average(lambda z: slope(root * z) ** 2), rel=1e-9)
    assert 0 <= found.q_slope < 1
    step = 1e-4 * found.q
    ahead, behind = (initialization.variance_map(name, found.q + d, w, b) for d in (step, -step))
    assert found.q_slope == pytest.approx((ahead - behind) / (2 * step), rel=1e-5)
    mapped = initialization.correlation_map(name, found.c, w, b)
    assert mapped == pytest.approx(found.c, abs=1e-12)
    assert 0 < found.c_slope < 1
    near = found.c + np.array([-1e-3, 0.0]) if found.c > 0.01 else np.array([0.0, 1e-3])
    slope = np.diff(initialization.correlation_map(name, near, w, b))[0] / 1e-3
    assert slope == pytest.approx(found.c_slope, rel=1e-2)
    assert found.phase == ("ordered" if found.chi < 1 else "chaotic")
    assert (found.c == 1) == (found.phase == "ordered")
    assert found.xi_q == pytest.approx(-1 / math.log(found.q_slope))
    assert found.xi_c == pytest.approx(-1 / math.log(found.c_slope))
    assert found.xi_gradient == pytest.approx(1 / abs(math.log(found.chi)))


def test_the_critical_line_of_tanh():
    assert initialization.critical_line("tanh", 0.05) == pytest.approx(1.761, abs=0.001)
    line = initialization.critical_line("tanh", np.array([0.0, 1e-4, 0.05, 1.0, 100.0]))
    assert line[0] == 1
    assert np.all(np.diff(line) > 0)
    for w, b in zip(line, [0.0, 1e-4, 0.05, 1.0, 100.0], strict=True):
        found = initialization.mean_field("tanh", w, b)
        assert found.phase == "critical"
        assert initialization.mean_field("tanh", 0.99 * w, b).phase == "ordered"
        assert initialization.mean_field("tanh", 1.01 * w, b).phase == "chaotic"
        assert found.c == 1


def test_the_sigmoid_is_critical_only_when_it_is_saturated():
    w = initialization.critical_line("sigmoid")
    found = initialization.mean_field("sigmoid", w)
    assert found.phase == "critical"
    assert math.sqrt(w) == pytest.approx(10.149, abs=0.001)
    assert found.q == pytest.approx(45.62, abs=0.01)


def test_relu_and_linear_have_closed_forms():
    for name, slope in (("relu", 0.5), ("linear", 1.0)):
        assert initialization.critical_line(name, 0.3) == 1 / slope
        found = initialization.mean_field(name, 1 / slope)
        assert (found.q, found.chi, found.q_slope, found.c, found.phase) == (1, 1, 1, 1, "critical")
        assert found.xi_q == found.xi_c == math.inf
        grown = initialization.mean_field(name, 2 / slope, 0.1)
        assert (grown.q, grown.chi, grown.c_slope, grown.phase) == (math.inf, 2, 1, "chaotic")
        settled = initialization.mean_field(name, 0.6 / slope, 0.2)
        assert settled.q == pytest.approx(0.2 / 0.4)
        assert (settled.chi, settled.c, settled.xi_c) == pytest.approx((0.6, 1, -1 / math.log(0.6)))
        assert initialization.mean_field(name, 0.5 / slope, 0.0).q == 0
    # Cho and Saul's kernel by a double integral in polar form.
    c = np.array([0.0, 0.5, 1.0])
    mapped = initialization.correlation_map("relu", c, 1.0, 0.5)
    np.testing.assert_allclose(mapped, np.array(_arc(c), dtype=float) + 0.5, rtol=1e-10)


def _arc(correlations):
    """E relu(u₁) relu(u₂) for variance 1, by integrating over the angle between two directions."""
    values = []
    for c in correlations:
        angle = math.acos(c)
        # u₁ = r cos t, u₂ = r cos(t − angle); E r³ over a half line of the density r exp(−r²/2) is 2.
        inside = mpmath.quad(
            lambda t, a=angle: mpmath.cos(t) * mpmath.cos(t - a), [angle - mpmath.pi / 2, mpmath.pi / 2]
        )
        values.append(2 * inside / (2 * mpmath.pi))
    return values


def test_without_biases_a_small_tanh_net_dies():
    found = initialization.mean_field("tanh", np.array([0.0, 0.5, 1.0, 1.2]))
    np.testing.assert_allclose(found.q[:3], 0)
    np.testing.assert_allclose(found.chi[:3], [0, 0.5, 1.0])
    assert found.q[3] > 0.1
    assert found.c[3] < 1e-15  # odd, without biases: inputs become independent
    assert list(found.phase) == ["ordered", "ordered", "critical", "chaotic"]


def test_arrays_are_broadcast_and_equal_single_calls():
    w, b = np.array([[0.8], [1.7], [3.0]]), np.array([0.0, 0.05])
    grid = initialization.mean_field("tanh", w, b)
    for field in ("q", "q_slope", "c", "chi", "c_slope", "xi_q", "xi_c", "phase"):
        values = getattr(grid, field)
        assert values.shape == (3, 2)
        for i, j in np.ndindex(3, 2):
            one = getattr(initialization.mean_field("tanh", float(w[i, 0]), float(b[j])), field)
            assert one == (values[i, j] if field == "phase" else pytest.approx(values[i, j], rel=1e-9))
    assert isinstance(initialization.mean_field("tanh", 1.0, 0.1).chi, float)
    q = np.linspace(0, 3, 5)
    assert initialization.variance_map("tanh", q, 1.5, 0.1).shape == (5,)


@given(w=st.floats(0.0, 50.0), b=st.floats(0.0, 5.0), name=st.sampled_from(["tanh", "sigmoid"]))
def test_every_fixed_point_is_where_iteration_ends(w, b, name):
    found = initialization.mean_field(name, w, b)
    assert found.q <= w + b
    assert initialization.variance_map(name, found.q, w, b) == pytest.approx(found.q, rel=1e-9, abs=1e-300)
    q = w + b
    for _ in range(400):
        q = initialization.variance_map(name, q, w, b)
    assert q >= found.q * (1 - 1e-9)
    assert 0 <= found.c <= 1
    assert np.isfinite([found.chi, found.c_slope, found.q_slope]).all()


NUMBERS = [
    lambda v: initialization.mean_field("tanh", v),
    lambda v: initialization.mean_field("tanh", 1.0, v),
    lambda v: initialization.critical_line("tanh", v),
    lambda v: initialization.variance_map("tanh", v, 1.0),
    lambda v: initialization.correlation_map("tanh", v, 1.5),
]


@pytest.mark.parametrize("call", NUMBERS)
def test_numbers_that_are_none(call):
    call(0.5)
    for value, message in [(-0.1, "-0.1"), (math.nan, "nan"), (math.inf, "inf"), (1e5, "1")]:
        with pytest.raises(ValueError, match=rf"must be between 0 and \S+; got {message}"):
            call(value)
        with pytest.raises(ValueError, match=r"must be between 0 and"):
            call(np.array([0.5, value]))
    for value in ("1", None, True, [0.5], 1j, np.array([1j]), np.array(["a"])):
        with pytest.raises(TypeError, match=r"must (be a number or a NumPy array|hold real numbers); got"):
            call(value)
    with pytest.raises(ValueError, match="must not be empty"):
        call(np.zeros(0))


def test_bad_input():
    cases = [
        (lambda: initialization.mean_field("gelu", 1.0), ValueError, "activation must be one of"),
        (
            lambda: initialization.mean_field("tanh", 9e3, 2e3),
            ValueError,
            r"must be at most 10000; got 11000",
        ),
        (
            lambda: initialization.mean_field("tanh", np.ones(2), np.ones(3)),
            ValueError,
            r"shapes must fit .*weight_variance \(2,\), bias_variance \(3,\)",
        ),
        (lambda: initialization.correlation_map("tanh", 0.5, 0.5), ValueError, "settles at 0, where"),
        (lambda: initialization.correlation_map("relu", 0.5, 3.0), ValueError, "settles at inf, where"),
        (lambda: initialization.correlation_map("tanh", 0.5, np.ones(2)), ValueError, "one number each"),
        (lambda: initialization.gain("tanh", "all"), ValueError, "keeps must be one of .*; got 'all'"),
        (lambda: initialization.gain("gelu"), ValueError, "activation must be one of"),
        (lambda: initialization.fans((3,)), ValueError, r"shape must be \(out, in\) .*; got \(3,\)"),
        (lambda: initialization.fans((3, 0)), ValueError, "shape must be at least 1; got 0"),
        (lambda: initialization.fans((3, 2.0)), TypeError, r"shape must be an integer; got 2\.0"),
        (lambda: initialization.fans(3), TypeError, "shape must be a sequence of integers; got 3"),
        (lambda: initialization.fans((10, 3), gates=4), ValueError, "multiple of gates=4; got 10"),
        (
            lambda: initialization.glorot((3, 2), gain=0.0),
            ValueError,
            r"gain must be finite and above 0; got 0\.0",
        ),
        (lambda: initialization.glorot((3, 2), gain="relu"), TypeError, "gain must be a number; got 'relu'"),
        (lambda: initialization.glorot((3, 2), distribution="t"), ValueError, "distribution must be one of"),
        (lambda: initialization.glorot((3, 2), seed=0.5), TypeError, r"seed must be an integer; got 0\.5"),
        (lambda: initialization.glorot((3, 2), dtype="int32"), TypeError, "dtype must be one of"),
        (lambda: initialization.glorot((3, 2), xp=math), TypeError, "xp must be an array module"),
        (
            lambda: initialization.he((3, 2), fan="both"),
            ValueError,
            "fan must be one of 'in', 'out'; got 'both'",
        ),
        (lambda: initialization.draw_layers([3], 1.0), ValueError, "at least one layer"),
        (lambda: initialization.draw_layers(3, 1.0), TypeError, "sizes must be a sequence"),
        (
            lambda: initialization.draw_layers([3, 2], -1.0),
            ValueError,
            "weight_variance must be finite and at least 0",
        ),
        (
            lambda: initialization.draw_layers([3, 2], 1.0, math.inf),
            ValueError,
            "bias_variance must be finite",
        ),
    ]
    for call, error, message in cases:
        with pytest.raises(error, match=message):
            call()


# -- real networks ----------------------------------------------------------------------------------------


def autograd(torch, weights, biases, x, activation, d_output):
    """Squared norms of ∂L/∂a_l and of each sample's ∂L/∂W_l, and mean squares of a_l."""
    phi = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "linear": lambda a: a}[
        activation
    ]
    weights = [torch.tensor(w, requires_grad=True) for w in weights]
    columns = []
    for sample, message in zip(torch.tensor(x), torch.tensor(d_output), strict=True):
        h, pre = sample, []
        for w, b in zip(weights, biases, strict=True):
            a = w @ h + torch.tensor(b)
            pre.append(a)
            h = phi(a)
        grads = torch.autograd.grad(h @ message, [*pre, *weights])
        squares = [float((g**2).sum()) for g in grads]
        columns.append(
            (squares[: len(pre)], squares[len(pre) :], [float((a.detach() ** 2).mean()) for a in pre])
        )
    return [np.array(part).T for part in zip(*columns, strict=True)]


@pytest.mark.parametrize("activation", list(MP))
def test_a_profile_equals_autograd(torch, backend, dtype, activation):
    sizes = [5, 7, 4, 6, 3]
    plain = initialization.draw_layers(sizes, 2.0, 0.3, seed=1)
    draw = np.random.default_rng(0)
    x, d_output = draw.normal(size=(2, 5)), draw.normal(size=(2, 3))
    weights, biases = ([backend.array(w, dtype) for w in part] for part in plain)
    found = initialization.through_depth(
        weights, biases, backend.array(x, dtype), activation, backend.array(d_output, dtype)
    )
    squares, of_weights, signal = autograd(torch, *plain, x, activation, d_output)
    with np.errstate(divide="ignore"):
        expected = np.log(squares), np.log(of_weights)
    finite = np.isfinite(expected[0])
    backend.check(found.signal, signal, dtype)
    for ours, logs in zip((found.log_gradient, found.log_weight_gradient), expected, strict=True):
        ours = backend.numpy(ours)
        np.testing.assert_array_equal(np.isneginf(ours), ~finite)
        np.testing.assert_allclose(ours[finite], logs[finite], atol=1e-10 if dtype == "float64" else 1e-3)


def test_a_deep_gradient_is_not_lost(backend, dtype):
    layers = backend.length(1000)
    weights = [backend.array(0.25 * np.eye(3), dtype)] * layers
    biases = [backend.array(np.zeros(3), dtype)] * layers
    x = backend.array(np.zeros((1, 3)), dtype)
    found = backend.numpy(initialization.through_depth(weights, biases, x, "tanh").log_gradient)[:, 0]
    expected = 2 * math.log(0.25) * np.arange(layers - 1, -1, -1)
    np.testing.assert_allclose(found, expected, atol=1e-3 if dtype == "float32" else 1e-9)


@pytest.mark.parametrize("size", [1e-30, 1e-170, 1e170])
def test_weight_gradients_are_measured_at_any_size(backend, dtype, size):
    """‖∂L/∂W_1‖ = ‖δ_1‖ ‖x‖ for one sample, where ‖x‖² leaves the range."""
    size = size if dtype == "float64" else {1e-30: 1e-22, 1e-170: 1e-30, 1e170: 1e30}[size]
    eye, zeros = backend.array(np.eye(4) * min(1.0, 1 / size), dtype), backend.array(np.zeros(4), dtype)
    x = backend.array(np.full((1, 4), size), dtype)
    found = initialization.through_depth([eye], [zeros], x, "linear")
    difference = backend.numpy(found.log_weight_gradient - found.log_gradient)[0, 0]
    assert difference == pytest.approx(2 * math.log(2 * size), rel=1e-5)


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_a_deep_gradient_in_half_precision(torch, half):
    dtype = getattr(torch, half)
    weights, biases = [0.25 * torch.eye(3, dtype=dtype)] * 500, [torch.zeros(3, dtype=dtype)] * 500
    found = initialization.through_depth(weights, biases, torch.zeros(1, 3, dtype=dtype))
    assert found.log_gradient.dtype == found.log_weight_gradient.dtype == torch.float32
    assert float(found.log_gradient[0, 0]) == pytest.approx(2 * math.log(0.25) * 499, rel=1e-2)


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
def test_a_real_net_behaves_as_the_theory_says(activation):
    """Six nets of 300 units: the mean square of signals and of gradients, with the spread between nets."""
    w, b = (1.3, 0.1) if activation != "sigmoid" else (4.0, 0.1)
    theory = initialization.mean_field(activation, w, b)
    x = np.random.default_rng(0).normal(size=(1, 300))
    signal, slopes = [], []
    for seed in range(6):
        found = initialization.through_depth(
            *initialization.draw_layers([300] * 26, w, b, seed=seed), x, activation
        )
        signal.append(found.signal[15:].mean())
        logs = found.log_gradient[:, 0]
        slopes.append((logs[5] - logs[20]) / 15)
    assert np.mean(signal) == pytest.approx(theory.q, rel=0.05)
    # A squared norm fluctuates by about √(1/N) a layer, which 15 layers and six nets average.
    assert np.mean(slopes) == pytest.approx(math.log(theory.chi), abs=0.04)


def test_profiles_of_bad_nets(torch):
    weights, biases = initialization.draw_layers([3, 4, 2], 1.0)
    x = np.ones((2, 3))
    call = initialization.through_depth
    call(weights, biases, x)
    cases = [
        (lambda: call(weights, biases[:1], x), ValueError, "equally many, at least one; got 2 and 1"),
        (lambda: call([], [], x), ValueError, "equally many, at least one; got 0 and 0"),
        (lambda: call(weights, biases, x[0]), ValueError, r"x must have shape \(B, N_0\)"),
        (
            lambda: call(weights[::-1], biases[::-1], x),
            ValueError,
            r"weights\[0\] must have shape .*N_\{l−1\}=3",
        ),
        (lambda: call(weights, biases[::-1], x), ValueError, r"biases\[0\] must have shape \(N_l=4\)"),
        (
            lambda: call(weights, biases, x.astype("float32")),
            TypeError,
            r"weights\[0\] is float64 but the entries of x",
        ),
        (lambda: call(weights, biases, torch.tensor(x)), TypeError, r"weights\[0\] is a numpy"),
        (lambda: call(weights, biases, x.tolist()), TypeError, "x must be an array"),
        (lambda: call(weights, biases, x, "gelu"), ValueError, "activation must be one of"),
        (
            lambda: call(weights, biases, x, d_output=np.ones((2, 3))),
            ValueError,
            r"d_output must have shape \(B=2, N_L=2\)",
        ),
        (lambda: call(weights, biases, x * np.nan), NonFiniteError, "x is not finite"),
        (
            lambda: call(weights, biases, x, d_output=np.full((2, 2), np.inf)),
            NonFiniteError,
            "d_output is not finite",
        ),
        (lambda: call(weights, biases, x, nonfinite="warn"), ValueError, "nonfinite must be one of"),
    ]
    for bad, error, message in cases:
        with pytest.raises(error, match=message):
            bad()
    huge = [1e200 * w for w in weights]
    with pytest.raises(NonFiniteError, match=r"signal is not finite .*, first at step 0; .*smaller variance"):
        call(huge, biases, x, "relu")
    seen = call(huge, biases, x, "relu", nonfinite="return")
    assert np.isinf(seen.signal).any()
