"""LSTM beside GRU: equal numbers of parameters, the starts as named, tiny runs, and the stored ones."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vglib import gru, lstm  # noqa: E402
from vglib.course.reproductions import gates, store  # noqa: E402

TINY = {"steps": 8, "hidden": 6, "batch": 4, "updates": 12, "every": 5, "test": 20}
SETTINGS = gates.REPRODUCTION.settings


def tiny(index=0, **changes):
    return {**SETTINGS[index], **TINY, **changes}


@pytest.mark.parametrize("index", range(len(SETTINGS)))
def test_it_is_a_function_of_settings_and_seed(index):
    first = gates.run(tiny(index), 3)
    torch.rand(5)
    assert gates.run(tiny(index), 3) == first
    assert gates.run(tiny(index), 4) != first
    assert len(first["error"]) == 3  # after 5, 10 and 12 updates
    assert (first["solved_at"], first["diverged_at"]) == (None, None)
    assert len(first["before"]) == len(first["after"]) == (9 if tiny(index)["task"] == "adding" else 12)
    store.make(tiny(index), 3, first)


@pytest.mark.parametrize("task", gates.TASKS)
def test_the_parameters_agree_within_a_hundredth(task):
    counts = {}
    for settings in SETTINGS:
        if settings["task"] == task:
            network = gates._start(settings, 0)
            counts[settings["net"]] = sum(p.numel() for p in network.parameters())
    assert counts.keys() == {"LSTM", "GRU", "tanh"}
    assert max(counts.values()) < 1.01 * min(counts.values())


def test_it_learns_and_stops():
    easy = tiny(steps=4, hidden=20, updates=3000, every=100, batch=32)
    result = gates.run(easy, 0)
    assert result["solved_at"] == 100 * len(result["error"]) < 3000
    assert result["error"][-1] < easy["solved"] <= min(result["error"][:-1])


@pytest.mark.parametrize("net", ["LSTM", "GRU"])
def test_the_starts(net):
    def bias(start):
        layer = gates._start(tiny(net=net, start=start, hidden=2000, steps=50), 0).layer
        return (layer.bias_ih_l0 + layer.bias_hh_l0).detach().reshape(-1, 2000), layer

    total, layer = bias("one")
    assert torch.equal(total[1], torch.ones(2000))
    default, same = bias("default")
    assert torch.equal(total[[0, 2]], default[[0, 2]])
    assert torch.equal(layer.weight_hh_l0, same.weight_hh_l0)
    drawn, _ = bias("chrono")
    lags = drawn[1].exp()
    assert 1 <= lags.min() < 1.2
    assert 48.5 < lags.max() <= 49
    assert abs(lags.mean() - 25) < 1
    assert torch.equal(drawn[0], -drawn[1] if net == "LSTM" else torch.zeros(2000))
    assert not drawn[2:].any()


def test_the_starts_are_those_of_the_library():
    module = torch.nn.LSTM(2, 6)
    lstm.forget_bias_(module)
    assert torch.equal(module.bias_ih_l0[6:12], torch.ones(6))
    assert torch.equal(gates._start(tiny(start="one"), 0).layer.bias_ih_l0[6:12], module.bias_ih_l0[6:12])
    module = torch.nn.GRU(2, 6)
    gru.chrono_(module, 8)
    ours = gates._start(tiny(net="GRU", start="chrono"), 0).layer
    assert torch.equal(ours.bias_ih_l0 != 0, module.bias_ih_l0 != 0)


def test_the_loop_is_a_gru_and_the_other_place_of_r_is_another():
    network = gates._start(tiny(net="GRU"), 0)
    layer, x = network.layer, torch.rand(9, 3, 2)
    torch.testing.assert_close(gates.Loop(layer, reset_first=False)(x)[0], layer(x)[0])
    other = gates.Loop(layer, reset_first=True)(x)[0]
    assert (other - layer(x)[0]).abs().max() > 1e-4
    # The oracle: Cho et al.'s candidate, written out for the second step.
    first, w = gates.Loop(layer, reset_first=True), layer.weight_hh_l0.chunk(3)
    h = first(x[:1])[0][0]
    a = (x[1] @ layer.weight_ih_l0.T + layer.bias_ih_l0).chunk(3, dim=-1)
    b = layer.bias_hh_l0.chunk(3)
    r, z = (torch.sigmoid(a[k] + h @ w[k].T + b[k]) for k in (0, 1))
    n = torch.tanh(a[2] + (r * h) @ w[2].T + b[2])
    torch.testing.assert_close(first(x[:2])[0][1], z * h + (1 - z) * n)


def test_what_another_hand_reads_is_recorded():
    result = gates.run(tiny(net="GRU"), 0)
    np.testing.assert_allclose(result["reread"]["as_is"], result["error"][-1], rtol=1e-4)
    assert result["reread"]["reset_first"] != result["reread"]["as_is"]


@pytest.mark.parametrize("net", ["LSTM", "GRU", "tanh"])
def test_what_is_stored_is_what_it_computes(net):
    settings = next(s for s in SETTINGS if s["net"] == net)
    stored = store.load("gates", **settings)[0]
    assert stored["seed"] == 0
    now = gates.run({**settings, "updates": settings["every"]}, 0)
    np.testing.assert_allclose(now["before"], stored["numbers"]["before"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(now["error"], stored["numbers"]["error"][:1], rtol=1e-2)
