"""The reproductions `adding` and `pixels`, and the nets they share: tiny runs, and the stored ones."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vglib import RNN, bptt  # noqa: E402
from vglib.course.reproductions import adding, last_step, pixels, store  # noqa: E402

TINY = {"steps": 8, "hidden": 6, "batch": 4, "updates": 12, "every": 5}


def tiny(index=0, **changes):
    return {**adding.REPRODUCTION.settings[index], **TINY, **changes}


def test_adding_is_a_function_of_settings_and_seed():
    first = adding.run(tiny(), 3)
    torch.rand(5)
    assert adding.run(tiny(), 3) == first
    assert adding.run(tiny(), 4) != first
    assert len(first["test_error"]) == len(first["largest_norm"]) == 3  # after 5, 10 and 12 updates
    assert (first["solved_at"], first["diverged_at"]) == (None, None)
    assert len(first["before"]["message"]) == len(first["after"]["message"]) == 9
    assert first["before"]["singular"] == first["before"]["radius"] == 1.0
    store.make(tiny(), 3, first)


def test_networks_leave_every_random_state_alone(monkeypatch):
    from vglib.course.reproductions import copying

    # What torch.manual_seed would do to each GPU there is, and nobody would undo.
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("seeds all GPUs"))
    before = torch.get_rng_state()
    first = last_step.make("tanh", 2, 3, 1, seed=5)
    assert torch.equal(first.layer.weight_hh_l0, last_step.make("tanh", 2, 3, 1, seed=5).layer.weight_hh_l0)
    copying._start({**copying.REPRODUCTION.settings[0], "hidden": 4}, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_adding_learns_and_stops():
    easy = tiny(steps=4, hidden=30, updates=3000, every=100, rate=0.003)
    result = adding.run(easy, 0)
    assert result["solved_at"] == 100 * len(result["test_error"]) < 3000
    assert result["test_error"][-1] < easy["solved"] <= min(result["test_error"][:-1])


def test_adding_says_where_it_diverged():
    result = adding.run(tiny(steps=150, hidden=100, batch=16, updates=20, rate=0.01), 0)
    assert 0 < result["diverged_at"] < 5
    assert result["after"] == {}
    store.make(tiny(), 0, result)


@pytest.mark.parametrize("index", range(len(adding.REPRODUCTION.settings)))
def test_every_setting_runs(index):
    result = adding.run(tiny(index), 0)
    assert np.isfinite(result["test_error"]).all()
    frozen = adding.REPRODUCTION.settings[index]["frozen"]
    if "singular" in result["before"]:
        assert (result["before"]["singular"] == result["after"]["singular"]) == frozen


@pytest.mark.parametrize("net", ["IRNN", "LSTM", "tanh"])
def test_what_is_stored_is_what_adding_computes(net):
    settings = next(s for s in adding.REPRODUCTION.settings if (s["steps"], s["net"]) == (50, net))
    stored = store.load("adding", **settings)[0]
    assert stored["seed"] == 0
    now = adding.run({**settings, "updates": settings["every"]}, 0)
    np.testing.assert_allclose(now["before"]["message"], stored["numbers"]["before"]["message"], rtol=1e-4)
    # Long before the error falls. Kernels of another processor round otherwise, and an identity RNN makes so
    # much of it by then that only the size remains: 0.17 on one processor was 0.20 on another.
    near = {"rtol": 0.5 if net == "IRNN" else 1e-2}
    np.testing.assert_allclose(now["test_error"], stored["numbers"]["test_error"][:1], **near)


@pytest.mark.parametrize("net", last_step.NETS)
def test_the_message_is_the_gradient_by_the_states(net):
    reader = last_step.make(net, 2, 5, 3, seed=1)
    x = torch.rand(7, 4, 2)
    logs = last_step.message(reader, x)
    assert logs[-1] == 0
    if net == "LSTM":
        assert logs == sorted(logs)  # it forgets, step by step
        return
    # The oracle: vglib's own backward pass.
    cell = RNN.from_torch(reader.layer).to(xp=np, dtype="float64")
    trace = bptt.unroll(cell, x.double().numpy())
    row = reader.readout.weight[0].detach().double().numpy()
    states = bptt.backprop(trace, np.zeros((7, 4, 5)), np.tile(row, (4, 1))).states
    expected = np.log10(np.sqrt((states**2).sum(axis=(1, 2))))
    np.testing.assert_allclose(logs, expected - expected[-1], atol=1e-9)


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_the_message_is_measured_where_its_square_is_no_number(scale):
    reader = last_step.make("IRNN", 2, 5, 1, seed=0, scale=scale)
    with torch.no_grad():
        reader.layer.bias_ih_l0.fill_(1.0)  # all units on: each step multiplies by the scale, all the way
    logs = last_step.message(reader, torch.rand(60, 2, 2))
    np.testing.assert_allclose(logs, math.log10(scale) * np.arange(60, -1, -1), rtol=1e-6)


def test_a_dead_network_passes_no_message():
    reader = last_step.make("IRNN", 2, 5, 1, seed=0)
    with torch.no_grad():
        reader.layer.bias_ih_l0.fill_(-1e6)
    assert last_step.message(reader, torch.rand(3, 2, 2)) == [None, None, None, 0.0]


def test_the_nets():
    lstm = last_step.make("LSTM", 2, 5, 1, seed=0).layer
    assert (lstm.bias_ih_l0 + lstm.bias_hh_l0)[5:10].tolist() == [1.0] * 5
    turned = last_step.make("orthogonal tanh", 2, 5, 1, seed=0).layer.weight_hh_l0
    assert torch.allclose(turned @ turned.T, torch.eye(5), atol=1e-5)
    half = last_step.make("IRNN", 2, 5, 1, seed=0, scale=0.5)
    assert torch.equal(half.layer.weight_hh_l0, 0.5 * torch.eye(5))
    same = last_step.make("tanh", 2, 5, 1, seed=0).readout
    assert torch.equal(half.readout.weight, same.weight)
    with pytest.raises(ValueError, match="net must be one of"):
        last_step.make("GRU", 2, 5, 1, seed=0)


@pytest.mark.parametrize("index", range(len(pixels.REPRODUCTION.settings)))
def test_pixels_is_a_function_of_settings_and_seed(index):
    pytest.importorskip("sklearn")
    small = {"side": 8, "hidden": 5, "batch": 4, "updates": 6, "every": 4}
    settings = {**pixels.REPRODUCTION.settings[index], **small}
    first = pixels.run(settings, 2)
    torch.rand(5)
    assert pixels.run(settings, 2) == first
    assert len(first["accuracy"]) == 2
    assert len(first["before"]) == len(first["after"]) == 65
    assert ("alive" in first) == (settings["net"] == "IRNN")
    store.make(settings, 2, first)


def test_pixels_asks_for_mnist_only_where_it_is(monkeypatch, tmp_path):
    assert {s["images"] for s in pixels.REPRODUCTION.settings} >= {"digits"}
    monkeypatch.setenv("VGLIB_DATA", str(tmp_path))
    assert {s["images"] for s in pixels._settings()} == {"digits"}
    seen = []
    monkeypatch.setattr(pixels, "mnist", lambda **options: seen.append(options))
    settings = [s for s in pixels._settings() if s["images"] == "mnist"]
    found = {(s["net"], s["permutation"]) for s in settings}
    assert found == {(net, p) for net in last_step.NETS for p in (None, 0)}
    pixels._images(settings[-1], "train")
    assert seen[-1] == {"split": "train", "limit": None, "permutation": 0, "xp": torch, "dtype": "float32"}


def test_pixels_learns_rows_of_few_pixels():
    pytest.importorskip("sklearn")
    easy = {**pixels.REPRODUCTION.settings[0], "side": 8, "updates": 300, "every": 300, "rate": 0.003}
    assert pixels.run(easy, 0)["accuracy"][-1] > 0.3
