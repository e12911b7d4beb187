"""Influence balancing: pure, right in its steps, and as stored."""

import numpy as np
import pytest

from vglib.course.reproductions import store, truncation

SETTINGS = {
    (s["k1"], s["k2"], s["length"]): {**s, "steps": 400, "every": 50}
    for s in truncation.REPRODUCTION.settings
    if s["rate"] == 1e-4
}


@pytest.mark.parametrize("key", SETTINGS)
def test_it_is_a_function_of_settings_and_seed(key):
    first = truncation.run(SETTINGS[key], 3)
    np.random.default_rng(0).normal()
    assert truncation.run(SETTINGS[key], 3) == first
    assert truncation.run(SETTINGS[key], 4) != first
    assert len(first["theta"]) == 9
    store.make(SETTINGS[key], 3, first)


@pytest.mark.parametrize(("k1", "k2"), [(1, 1), (1, 10), (1, 100), (10, 10), (100, 100)])
def test_it_steps_as_forward_differentiation_does(k1, k2):
    """The derivative of s by θ, carried forward from the window's start: no backward pass at all."""
    A, signs = np.eye(23) / 2 + np.eye(23, k=1) / 2, np.where(np.arange(23) < 10, 1.0, -1.0)
    theta, states, path = 0.5, {0: store_state(3)}, [0.5]
    for stop in range(k1, 401, k1):
        start, gradient = max(0, stop - k2), 0.0
        s, ds = states[start], np.zeros(23)
        for t in range(start, stop):
            s, ds = A @ s + theta * signs, A @ ds + signs
            states[t + 1] = s
            gradient += (s[0] - 1) * ds[0] if t >= stop - k1 else 0.0
        theta -= 1e-4 * gradient
        path += [theta] * (stop // 50 + 1 - len(path))
    np.testing.assert_allclose(truncation.run(SETTINGS[k1, k2, None], 3)["theta"], path, rtol=1e-9)


def store_state(seed):
    from vglib.base.arrays import random_stream

    return random_stream(seed, "truncation.state").normal(size=23)


def test_it_records_where_it_diverged():
    result = truncation.run({**SETTINGS[10, 10, None], "steps": 4000}, 0)
    assert result["error"] is None
    assert 1000 < result["diverged_at"] < 4000
    assert result["diverged_at"] % 10 == 0
    assert abs(result["theta"][-1]) < 1000
    assert result["longest"] == 10


def stored(k1, k2, length=None, rate=1e-4):
    return [run["numbers"] for run in store.load("truncation", k1=k1, k2=k2, length=length, rate=rate)]


def test_short_reach_diverges_and_long_reach_converges():
    """The published claim, with its pass criterion."""
    for k2 in (1, 10):
        assert all(run["diverged_at"] for run in stored(1, k2))
    assert len(stored(1, 100)) >= 3
    assert all(run["error"] < 1e-3 for run in stored(1, 100))
    assert len(stored(None, None, 32)) >= 3
    assert all(run["error"] < 1e-3 for run in stored(None, None, 32))
    # Chunks of 100 are not a reach of 100, and an unbiased gradient can be too noisy.
    assert all(run["error"] > 1 for run in stored(100, 100))
    assert all(run["error"] < 1e-3 for run in stored(200, 200))
    assert any(run["diverged_at"] for run in stored(None, None, 16))
    assert all(run["error"] < 1e-3 for run in stored(None, None, 16, rate=1e-5))


@pytest.mark.parametrize(("k1", "k2", "length"), [(1, 10, None), (100, 100, None), (None, None, 32)])
def test_what_is_stored_is_what_it_computes(k1, k2, length):
    settings = next(
        s for s in truncation.REPRODUCTION.settings if (s["k1"], s["k2"], s["length"]) == (k1, k2, length)
    )
    now = truncation.run({**settings, "steps": 1000}, 0)
    kept = store.load("truncation", **settings)[0]
    assert kept["seed"] == 0
    np.testing.assert_allclose(now["theta"][:9], kept["numbers"]["theta"][:9], rtol=1e-4)
