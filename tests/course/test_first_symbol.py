"""Recalling the first symbol: tiny runs, the starts, what is measured, and the stored runs."""

import math

import numpy as np
import pytest

from vglib.course.reproductions import store

torch = pytest.importorskip("torch")
first_symbol = pytest.importorskip("vglib.course.reproductions.first_symbol")

from vglib import NonFiniteError  # noqa: E402
from vglib.base.data import first_symbol as draw  # noqa: E402
from vglib.course.reproductions import first_of_four, last_step  # noqa: E402

STARTS = {settings["start"]: settings for settings in first_symbol.REPRODUCTION.settings}
TINY = {"steps": 6, "hidden": 5, "batch": 3, "updates": 5, "every": 2, "tested": 20, "probed": 4}


@pytest.mark.parametrize("start", STARTS)
def test_it_is_a_function_of_settings_and_seed(start):
    small = {**STARTS[start], **TINY}
    first = first_symbol.run(small, 3)
    before = torch.get_rng_state()
    torch.rand(5)
    after = torch.get_rng_state()
    assert first_symbol.run(small, 3) == first
    assert torch.equal(torch.get_rng_state(), after)
    torch.set_rng_state(before)
    assert first_symbol.run(small, 4) != first
    assert [len(first[name]) for name in ("accuracy", "loss", "before", "after")] == [3, 3, 6, 6]
    assert (first["solved_at"], first["diverged_at"]) == (None, None)
    assert first["before"][-1] == first["after"][-1] == 0
    store.make(small, 3, first)


def test_it_learns_a_short_lag_and_goes_on():
    easy = {**STARTS["chrono"], "steps": 5, "hidden": 32, "rate": 0.01, "updates": 300}
    result = first_symbol.run(easy, 0)
    update = result["solved_at"]
    assert update % 50 == 0
    reached = np.array(result["accuracy"]) >= easy["solved"]
    assert reached.argmax() == update // 50 - 1 < len(reached) - 1 == 5


def test_it_says_where_it_diverged():
    result = first_symbol.run({**STARTS["PyTorch"], **TINY, "rate": math.inf}, 0)
    assert result["diverged_at"] == 1  # the first update ruins it, the second finds out
    assert result["after"] == []
    store.make(TINY, 0, result)


def test_starts_differ_in_biases_alone():
    layers = {start: first_symbol._start(settings, 1).layer for start, settings in STARTS.items()}
    total = {
        start: np.split((layer.bias_ih_l0 + layer.bias_hh_l0).detach().numpy(), 4)
        for start, layer in layers.items()
    }
    for layer in layers.values():
        assert torch.equal(layer.weight_ih_l0, layers["PyTorch"].weight_ih_l0)
        assert torch.equal(layer.weight_hh_l0, layers["PyTorch"].weight_hh_l0)
    for value in (0, 1, 2):
        i, f, g, o = total[f"bias {value}"]
        np.testing.assert_array_equal(f, np.full(64, value))
        for found, expected in zip((i, g, o), [total["PyTorch"][gate] for gate in (0, 2, 3)], strict=True):
            np.testing.assert_array_equal(found, expected)
    i, f, g, o = total["chrono"]
    assert (f >= 0).all()
    assert (f <= math.log(99)).all()
    assert f.max() > 4  # some units keep for tens of steps
    np.testing.assert_array_equal(i, -f)
    np.testing.assert_array_equal(total["chrono, b_i = 0"], [0 * f, f, 0 * f, 0 * f])
    assert not np.any([g, o])
    assert np.abs(total["PyTorch"]).max() <= 2 / math.sqrt(64)
    with pytest.raises(ValueError, match="start must be one of"):
        first_symbol._start({**STARTS["PyTorch"], "start": "bias 3"}, 0)


def test_one_of_four_is_the_same_but_for_the_symbols():
    for settings in first_of_four.REPRODUCTION.settings:
        assert {**settings, "symbols": 8} == STARTS[settings["start"]]
    # Whoever guesses is right twice as often.
    tiny = {**settings, **TINY, "tested": 400, "rate": 1e-9}
    assert first_symbol.run(tiny, 0)["accuracy"][-1] == pytest.approx(1 / 4, abs=0.1)


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_the_message_is_the_gradient_by_the_inputs(scale):
    task = draw(4, 3, xp=torch, dtype="float32", symbols=2, fillers=2)
    reader = last_step.make("LSTM", 4, 5, 2, seed=1)
    with torch.no_grad():
        reader.layer.weight_hh_l0.mul_(scale)
    logs = last_step.input_message(reader, task.x, task.target)
    reader, step = reader.double(), 1e-5  # the oracle: central differences

    def loss(x):
        with torch.no_grad():
            return float(torch.nn.functional.cross_entropy(reader(x), task.target))

    found = np.zeros(4)
    for index in np.ndindex(*task.x.shape):
        moved = torch.zeros(task.x.shape, dtype=torch.float64)
        moved[index] = step
        found[index[0]] += ((loss(task.x + moved) - loss(task.x - moved)) / (2 * step)) ** 2
    expected = np.log10(found) / 2
    np.testing.assert_allclose(logs, expected - expected[-1], atol=1e-4)


def test_the_message_is_measured_where_float32_has_only_zeros():
    task = draw(200, 2, xp=torch, dtype="float32")
    reader = first_symbol._start(STARTS["bias 0"], 0)
    logs = last_step.input_message(reader, task.x, task.target)
    assert -60 < logs[0] < -38
    with torch.no_grad():  # a forget gate that is shut, and no other way: nothing arrives
        reader.layer.weight_hh_l0.zero_()
        reader.layer.bias_ih_l0[64:128] = -1e9
    assert last_step.input_message(reader, task.x, task.target) == [None] * 199 + [0.0]


def test_a_gradient_that_is_not_finite_is_no_gradient_of_0():
    task, numbers = draw(4, 3, xp=torch, dtype="float32"), [math.nan, math.inf]
    for number in numbers:
        reader = first_symbol._start(STARTS["PyTorch"], 0)
        with torch.no_grad():
            reader.readout.weight[0, 0] = number
        with pytest.raises(NonFiniteError, match="gradient is not finite"):
            last_step.input_message(reader, task.x, task.target)


def test_nothing_is_relative_to_a_last_gradient_of_0():
    reader, task = last_step.make("LSTM", 3, 2, 2, seed=0), draw(4, 3, xp=torch, symbols=2, fillers=1)
    with torch.no_grad():  # the filler tells the layer nothing, the symbols do
        reader.layer.weight_ih_l0[:] = 0.0
        reader.layer.weight_ih_l0.requires_grad_(False)
    logs = last_step.input_message(reader, task.x, task.target)
    assert logs == [None] * 4
    with pytest.raises(ValueError, match="nothing can be relative to the last gradient"):
        last_step._relative([[torch.ones(1).double()], [torch.zeros(1).double()]])


STORED = [("first_symbol", settings) for settings in STARTS.values()]
STORED += [("first_of_four", settings) for settings in first_of_four.REPRODUCTION.settings]


@pytest.mark.parametrize(("name", "settings"), STORED)
def test_what_is_stored_is_what_it_computes(name, settings):
    for record in store.load(name, **settings):
        numbers = record["numbers"]
        right = [share >= settings["solved"] for share in numbers["accuracy"]]
        updates = settings["every"] * (1 + right.index(True)) if any(right) else None
        assert numbers["solved_at"] == updates
        assert len(numbers["before"]) == len(numbers["after"]) == settings["steps"]
    stored = store.load(name, **settings)[0]
    assert stored["seed"] == 0
    now = first_symbol.run({**settings, "updates": 50}, 0)
    np.testing.assert_allclose(now["before"], stored["numbers"]["before"], rtol=1e-4, atol=1e-4)
    # Floats of another machine's kernels: after fifty updates the same to two digits, no more.
    np.testing.assert_allclose(now["loss"], stored["numbers"]["loss"][:1], rtol=2e-2)
